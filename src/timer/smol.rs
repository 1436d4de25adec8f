use super::Timer;
use core::time::Duration;

/// The timer of smol, which is async-io's: works on any executor.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(docsrs, doc(cfg(feature = "smol")))]
pub struct Smol;

impl Timer for Smol {
    type Sleep = async_io::Timer;

    fn sleep(&self, after: Duration) -> Self::Sleep {
        async_io::Timer::after(after)
    }
}
