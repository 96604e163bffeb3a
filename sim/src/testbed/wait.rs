//! Waits for what other processes will do in their own time, by looking again and again.

use std::thread;
use std::time::{Duration, Instant};

use super::error::{Error, Result};

/// Looks at once, and then every 10 ms, until `condition` holds.
///
/// # Errors
/// [`Error::TimedOut`] naming `what`, if it does not hold in time; an error of the condition at once.
pub fn wait_until(
    what: impl Fn() -> String,
    patience: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    const LOOK: Duration = Duration::from_millis(10);
    let start = Instant::now();
    while !condition()? {
        if start.elapsed() > patience {
            return Err(Error::TimedOut { what: what(), patience });
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_returns_when_the_condition_holds_and_fails_when_it_never_does() {
        let mut looks = 0;
        let third_look = || {
            looks += 1;
            Ok(looks == 3)
        };
        wait_until(|| "the third look".to_owned(), Duration::from_secs(60), third_look).expect("it comes");
        let error = wait_until(|| "Godot".to_owned(), Duration::ZERO, || Ok(false)).expect_err("he does not come");
        assert_eq!(error.to_string(), "waited 0ns in vain for Godot");
    }
}
