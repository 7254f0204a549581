//! What happened on a site between two moments, the broker's commits included.

use super::site::Site;
use crate::figures::Figures;
use crate::load;
pub use crate::load::Counted;
use anyhow::Result;

/// Everything that is counted, at one moment.
pub struct Moment {
    load: load::Moment,
    commits: u64,
}

impl Moment {
    /// This moment.
    pub async fn now(site: &Site<'_>) -> Result<Self> {
        let commits = site.broker.status().await?.commits;
        Ok(Moment { load: load::Moment::now(&site.load, site.broker.pid())?, commits })
    }

    /// The figures from this moment until now.
    pub async fn until_now(&self, site: &Site<'_>, counted: Counted) -> Result<Figures> {
        let end = Moment::now(site).await?;
        let messages = self.load.messages_until(&end.load, counted) as f64;
        Ok(Figures {
            per_commit: Some(messages / (end.commits - self.commits) as f64),
            resident_mib: Some(site.broker.resident_mib()?),
            ..self.load.until(&end.load, counted)
        })
    }
}
