use super::Timer;
use core::time::Duration;

/// The timer of smol, which is async-io's: works on any executor.
///
/// # Examples
///
/// ```
/// # smol::block_on(async {
/// use onlooker::{Smol, TimedOut, Watched};
/// use std::time::Duration;
///
/// let state = Watched::new(0);
/// let late = state.wait_for(1).timeout(Smol, Duration::from_millis(1)).await;
/// assert_eq!(late, Err(TimedOut));
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(docsrs, doc(cfg(feature = "smol")))]
pub struct Smol;

impl Timer for Smol {
    type Sleep = async_io::Timer;

    #[track_caller]
    fn sleep(&self, after: Duration) -> Self::Sleep {
        async_io::Timer::after(after)
    }
}
