//! Single nodes of a cluster die one after the other, to see what chance has to do with when that is known.

use std::time::Duration;

use super::{ClusterSettings, ClusterWorld, DeathKnown, Stuck, scenario::await_truth};

/// A node that has come back is told of for so long before the next one dies.
const QUIET: Duration = Duration::from_secs(3);

/// Kills a node of a cluster, starts it anew once all know, and goes on with the next: says for each death when it
/// was known.
///
/// # Errors
/// [`Stuck`] if some node does not know the truth within a simulated minute, or if there are fewer than five nodes.
pub fn watch_deaths(settings: &ClusterSettings, deaths: usize) -> Result<Vec<DeathKnown>, Stuck> {
    // The first three are the contacts of all.
    let mortal = (3..usize::from(settings.nodes)).cycle();
    let mut world = ClusterWorld::new(settings);
    world.run_for(Duration::from_secs(1));
    await_truth(&mut world, "who has started")?;
    let mut known = Vec::new();
    for one in mortal.take(deaths) {
        world.run_for(QUIET);
        world.crash_noted(one);
        await_truth(&mut world, "who has died")?;
        known.extend(world.death_known());
        world.restart(one);
        world.run_for(Duration::from_secs(1));
        await_truth(&mut world, "who has come back")?;
    }
    if known.len() == deaths { Ok(known) } else { Err(Stuck { phase: "who has died", node: None }) }
}
