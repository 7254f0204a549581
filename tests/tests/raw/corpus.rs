//! What the fuzzer starts from and has found, against a real door.

use postrider_protocol::reply::Reply;
use postrider_protocol::request::Request;
use postrider_tests::Broker;
use postrider_tests::raw::{Raw, frame};
use std::path::Path;

/// The files of a fuzzer's target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = folder.read_dir().expect("the corpus is there").map(|file| file.expect("a file").path());
    let files: Vec<_> = files.map(|file| std::fs::read(file).expect("a file can be read")).collect();
    assert!(files.len() > 10, "the corpus was not read");
    files
}

/// Sends bytes on a connection that knows the token and on one that does not. Whatever comes back can be read, which
/// reading it demands.
fn send(broker: &Broker, bytes: &[u8]) {
    let mut stranger = Raw::connect(broker.address());
    stranger.send(bytes);
    let mut known = Raw::open(broker.address());
    known.send(bytes);
    for mut raw in [stranger, known] {
        raw.finish();
        while raw.reply().is_some() {}
    }
}

#[test]
fn the_corpus_harms_nobody() {
    let broker = Broker::start();
    let mut good = Raw::open(broker.address());
    // The first byte of each says how a decoder is to be fed.
    corpus("frames").iter().for_each(|input| send(&broker, &input[1..]));
    for input in corpus("request").iter().filter(|input| input.len() >= 2) {
        send(&broker, &frame(input[0], input[1], 9, &input[2..]));
    }
    assert!(matches!(good.ask(&Request::Status), Reply::Status(_)));
    assert!(!broker.process().stderr().contains("panic"), "{}", broker.process().stderr());
}
