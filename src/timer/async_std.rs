use super::Timer;
use core::time::Duration;

/// The timer of async-std, which sleeps on async-io's.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(docsrs, doc(cfg(feature = "async-std")))]
pub struct AsyncStd;

impl Timer for AsyncStd {
    type Sleep = async_io::Timer;

    fn sleep(&self, after: Duration) -> Self::Sleep {
        async_io::Timer::after(after)
    }
}
