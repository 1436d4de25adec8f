use super::Timer;
use core::time::Duration;

/// The timer of tokio. Panics, as tokio's does, where no tokio runtime with its timer enabled is entered.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
pub struct Tokio;

impl Timer for Tokio {
    type Sleep = tokio::time::Sleep;

    fn sleep(&self, after: Duration) -> Self::Sleep {
        tokio::time::sleep(after)
    }
}
