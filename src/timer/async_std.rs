use super::Timer;
use core::time::Duration;

/// The timer of async-std, which sleeps on async-io's.
///
/// # Examples
///
/// ```
/// # async_std::task::block_on(async {
/// use onlooker::{AsyncStd, TimedOut, Watched};
/// use std::time::Duration;
///
/// let state = Watched::new(0);
/// let late = state.wait_for(1).timeout(AsyncStd, Duration::from_millis(1)).await;
/// assert_eq!(late, Err(TimedOut));
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(docsrs, doc(cfg(feature = "async-std")))]
pub struct AsyncStd;

impl Timer for AsyncStd {
    type Sleep = async_io::Timer;

    #[track_caller]
    fn sleep(&self, after: Duration) -> Self::Sleep {
        async_io::Timer::after(after)
    }
}
