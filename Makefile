# Everything is built in one profile (release) and kept outside of the clone. RocksDB takes many minutes to compile:
# scripts/rocksdb does it once for each version, and all targets link the result.

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/postrider
export CARGO_TARGET_DIR ?= $(CACHE)/target

ROCKSDB_VERSION := $(shell awk '/^name = "rust-librocksdb-sys"/ { getline; gsub(/[",]/, "", $$3); print $$3 }' Cargo.lock)
ROCKSDB := $(CACHE)/rocksdb-$(ROCKSDB_VERSION)-$(shell uname -m)
export ROCKSDB_LIB_DIR := $(ROCKSDB)
export ROCKSDB_INCLUDE_DIR := $(ROCKSDB)/include
export ROCKSDB_STATIC := 1

# rustup's folder, for shells that do not have it on their path yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# Random tests take the same way each time, unless another seed is given.
export PROPTEST_RNG_SEED ?= 20261121

BIN := $(CARGO_TARGET_DIR)/release
DATA_DIR ?= data

.PHONY: help setup rocksdb build demo run test test-core failpoints test-faults fault test-faults-long sabotage fuzz bench bench-compare lint lint-compare check fmt

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{ printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make sure that a C++ compiler and libclang are there
	@scripts/setup

rocksdb: setup
	@scripts/rocksdb '$(ROCKSDB)' '$(ROCKSDB_VERSION)'

build: rocksdb ## build everything
	cargo build --release --workspace

demo: build ## take orders through a real broker that is killed on the way [ORDERS=100000]
	$(BIN)/demo $(if $(ORDERS),--orders $(ORDERS)) $(ARGS)

run: build ## run a broker [DATA_DIR=data] [ARGS=...]
	$(BIN)/postrider serve --data-dir $(DATA_DIR) $(ARGS)

test: build ## run all tests [ARGS=...]
	cargo test --release --workspace --no-fail-fast $(ARGS)

test-core: setup ## run the core's tests alone, without RocksDB [ARGS=...]
	cargo test --release -p postrider-core $(ARGS)

# A broker with places to die at, under a name of its own; `postrider` is then what it was.
failpoints: build
	cargo build --release -p postrider --features failpoints
	rm -f $(BIN)/postrider-failpoints
	mv $(BIN)/postrider $(BIN)/postrider-failpoints
	cargo build --release -p postrider

# Whole-program tests of their own, which `test` leaves out.
FAULTS := clocks fanout_kills kill_loop simulation
# Those that need root, loop devices and qemu-storage-daemon.
DISK_FAULTS := disk power_blocks power_ext4
# Histories in each of the model's four worlds.
HISTORIES := 5000

test-faults: failpoints ## break things: kills, clocks, disks, power, and faults that tests must notice
	PROPTEST_CASES=$(HISTORIES) cargo test --release -p postrider-core --test model
	cargo test --release -p postrider-tests --no-fail-fast $(FAULTS:%=--test %)
	@scripts/setup-disks || { code=$$?; [ $$code -eq 77 ] && exit; exit $$code; }; \
	cargo test --release -p postrider-tests --no-fail-fast $(DISK_FAULTS:%=--test %)
	@$(MAKE) --no-print-directory sabotage

fault: failpoints ## some of them alone [TARGET="kill_loop simulation"] [ARGS=...]
ifndef TARGET
	@echo 'some of these, as in make fault TARGET="clocks disk": $(FAULTS) $(DISK_FAULTS)'
else
	cargo test --release -p postrider-tests --no-fail-fast $(TARGET:%=--test %) $(ARGS)
endif

test-faults-long: export POSTRIDER_KILLS ?= 2000
test-faults-long: export POSTRIDER_CUTS ?= 1000
test-faults-long: export POSTRIDER_BLOCK_CUTS ?= 50000
test-faults-long: export POSTRIDER_FILLS ?= 50
test-faults-long: export POSTRIDER_SEEDS ?= 20000
test-faults-long: HISTORIES := 20000
test-faults-long: test-faults ## the same as before a release: some hours [POSTRIDER_KILLS=2000]
	POSTRIDER_DAMAGES=5000 cargo test --release -p postrider-tests --test damage

# What it finds to go on from stays outside of the clone; what it breaks something with is in fuzz/artifacts.
FUZZED := $(CACHE)/fuzz-corpus/$(TARGET)
SECONDS ?= 60

fuzz: ## look for input that nothing should break at [TARGET=session] [SECONDS=60]
ifndef TARGET
	@echo "one of these, as in make fuzz TARGET=session:"
	@ls fuzz/corpus
else
	@mkdir -p '$(FUZZED)'
	cargo +nightly fuzz run --target-dir '$(CACHE)/fuzz' $(TARGET) '$(FUZZED)' fuzz/corpus/$(TARGET) -- \
		-max_total_time=$(SECONDS) -max_len=4000 -malloc_limit_mb=16 -rss_limit_mb=512 -timeout=2
endif

# A broker that has a fault when it is told to, and places to die at, under a name of its own.
sabotage: build ## see that the tests notice faults, and write down how soon
	cargo build --release -p postrider --features failpoints,sabotage
	rm -f $(BIN)/postrider-sabotage
	mv $(BIN)/postrider $(BIN)/postrider-sabotage
	cargo build --release -p postrider
	cargo test --release -p postrider-tests --test sabotage -- --nocapture $(ARGS)

bench: build ## measure [ARGS=...]
	$(BIN)/postrider-benches $(ARGS)

# Scripts that start and end other brokers; benches/README.md says what they have to do.
PEERS ?= ../shared/peers
# Outside of the workspace, so that the clients of other brokers are built for this alone.
COMPARE := --manifest-path benches/compare/Cargo.toml

bench-compare: build ## measure beside RabbitMQ and NATS, as root [PEERS=../shared/peers] [ARGS=...]
	@if ! [ -x '$(PEERS)/up.sh' ] || ! [ -x '$(PEERS)/down.sh' ]; then \
		echo "$(PEERS) has no up.sh and down.sh, which start and end RabbitMQ and NATS: see benches/README.md, then"; \
		echo "    make bench-compare PEERS=folder"; \
		exit 1; \
	fi
	cargo build --release $(COMPARE)
	cc -shared -fPIC -O2 -Wall -Wextra -o $(BIN)/postrider-slow-sync.so benches/slow_sync/slow_sync.c
	$(BIN)/postrider-compare --peers '$(PEERS)' $(ARGS)

lint: rocksdb ## check format, lints and dependencies
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny check; \
	else \
		echo "cargo-deny is not installed, dependencies were not checked: cargo install --locked cargo-deny"; \
	fi

lint-compare: rocksdb ## check the comparison with other brokers in the same way
	cargo fmt $(COMPARE) --check
	cargo clippy --release $(COMPARE) -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny $(COMPARE) check; fi

check: lint test ## lint and test

fmt: setup ## format
	cargo fmt --all
	cargo fmt $(COMPARE)
