use super::Timer;
use core::time::Duration;

/// The timer of embassy-time; the program brings its time driver.
///
/// A sleep too long for the driver's clock is as long as that clock can tell.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(docsrs, doc(cfg(feature = "embassy")))]
pub struct Embassy;

impl Timer for Embassy {
    type Sleep = embassy_time::Timer;

    #[track_caller]
    fn sleep(&self, after: Duration) -> Self::Sleep {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        let ticks = u128::from(micros) * u128::from(embassy_time::TICK_HZ);
        let ticks = u64::try_from(ticks.div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let now = embassy_time::Instant::now().as_ticks();
        embassy_time::Timer::at(embassy_time::Instant::from_ticks(now.saturating_add(ticks)))
    }
}
