use super::Timer;
use core::time::Duration;

/// The timer of tokio. Panics, as tokio's does, where no tokio runtime with its timer enabled is entered.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use onlooker::{Tokio, TimedOut, Watched};
/// use std::time::Duration;
///
/// let state = Watched::new(0);
/// let late = state.wait_for(1).timeout(Tokio, Duration::from_millis(1)).await;
/// assert_eq!(late, Err(TimedOut));
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
pub struct Tokio;

impl Timer for Tokio {
    type Sleep = tokio::time::Sleep;

    #[track_caller]
    fn sleep(&self, after: Duration) -> Self::Sleep {
        tokio::time::sleep(after)
    }
}
