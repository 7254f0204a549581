//! Which fault it is: the environment says so.

use super::{SWITCHES, Switch};
use std::sync::LazyLock;

/// The variable with the fault's name; `none`, or nothing, for a broker that does what it should.
const VARIABLE: &str = "POSTRIDER_SABOTAGE";

static CHOSEN: LazyLock<Option<Switch>> = LazyLock::new(|| {
    let name = std::env::var(VARIABLE).ok().filter(|name| name != "none")?;
    let found = SWITCHES.iter().find(|(known, _)| *known == name);
    let known = SWITCHES.map(|(name, _)| name).join(", ");
    // Nobody would notice that a fault is not there.
    Some(found.unwrap_or_else(|| panic!("{VARIABLE} is {name:?}, known are none, {known}")).1)
});

/// Whether this fault was chosen.
pub fn is(fault: Switch) -> bool {
    *CHOSEN == Some(fault)
}
