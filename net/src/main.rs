//! `selvedge`: the controller, and the commands that talk to one. Without a subcommand it is the controller.

use clap::{Args, Parser, Subcommand};
use selvedge_net::cli;
use selvedge_net::daemon::config::LogFormat;
use selvedge_net::daemon::{self, Config, Options};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// An open network virtualization platform.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Run a controller (what happens without a subcommand, too)
    Controller(Controller),
    #[command(flatten)]
    Client(cli::Command),
}

#[derive(Args)]
struct Controller {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => controller(cli.options),
        Some(Command::Controller(controller_command)) => controller(controller_command.options),
        Some(Command::Client(command)) => return cli::run(command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("selvedge: {error}");
            ExitCode::FAILURE
        }
    }
}

fn controller(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::gather(options, std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))?;
    let filter = EnvFilter::try_new(&config.log).map_err(|error| format!("--log '{}': {error}", config.log))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(daemon::run(config, announce))?;
    // What still runs has nothing durable to lose.
    runtime.shutdown_background();
    Ok(())
}

/// Says where everything is. Whoever started the controller may have stopped to read: that is no reason to end.
fn announce(text: &str) {
    _ = writeln!(std::io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
