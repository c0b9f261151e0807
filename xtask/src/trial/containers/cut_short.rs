// SPDX-License-Identifier: MIT
//! What does not come to its end: all is as it was, or the next call makes it so.

use anyhow::Result;

use super::{HOST_ADDRESS, Trial, network_ids, nothing_left, status, up, variant};

/// Ctrl-C reaches the program and the engine's client; at any step.
pub fn interrupted_update(trial: &Trial<'_>) -> Result<()> {
    let name = "pbtest-cut";
    let hangs = variant(trial, "hangs", "CMD [\"/bin/sh\", \"-c\", \"sleep 1000\"]")?;
    up(trial, name, &[])?;
    let program = trial.program.display().to_string();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for seconds in ["0.5", "1", "1.5", "6"] {
            let words =
                ["--preserve-status", "--signal", signal, seconds, &program, "update", name];
            let said = trial.beside("timeout", &[&words[..], &["--image", &hangs]].concat())?;
            trial.compare(&format!("update, SIG{signal} after {seconds} s"), &said, code, &[]);
            status(trial, name, "up")?;
            let filter = format!("name=^/?{name}.new$");
            let left = trial.ask(&["ps", "--all", "--quiet", "--filter", &filter])?;
            trial.same("what is left of the new one", &left, "");
        }
    }
    // Meanwhile nobody else changes it.
    let script = r#"
"$0" update "$1" --image "$2" &
sleep 3
"$0" status "$1"
"$0" stop "$1"
code=$?
kill -TERM $!
wait $!
exit $code
"#;
    let said = trial.beside("sh", &["-c", script, &program, name, &hangs])?;
    let busy = ["another plainboot-container works on pbtest-cut", "down", "as before"];
    trial.compare("stop during an update", &said, 1, &busy);
    status(trial, name, "up")?;
    trial.expect(&["destroy", name], 0, &[])?;
    trial.ask(&["rmi", &hangs])?;
    nothing_left(trial, name)
}

/// What `kill -9` leaves at each step is put right by the next verb that changes something, and by no other.
pub fn killed_update(trial: &Trial<'_>) -> Result<()> {
    let name = "pbtest-killed";
    up(trial, name, &[])?;
    let [new, old] = ["new", "old"].map(|step| format!("{name}.{step}"));
    let ours = ["--label", "plainboot.container=1", "--label", "plainboot.was-up=1"];
    let create = [&["create", "--name", new.as_str()][..], &ours, &[&trial.image]].concat();
    // Before the one was stopped.
    trial.ask(&create)?;
    status(trial, name, "up")?;
    trial.ask(&["inspect", &new])?;
    trial.expect(
        &["start", name],
        0,
        &["was cut short: pbtest-killed is as before", "up already"],
    )?;
    // While the new one boots.
    trial.ask(&create)?;
    trial.ask(&["stop", name])?;
    trial.ask(&["start", &new])?;
    status(trial, name, "down")?;
    trial.expect(&["list"], 0, &[name])?;
    trial.expect(&["start", name], 0, &["is as before", "up already"])?;
    // Between the two renamings.
    trial.ask(&create)?;
    trial.ask(&["stop", name])?;
    trial.ask(&["rename", name, &old])?;
    trial.expect(&["status", name], 1, &["a change was cut short", "plainboot-container start"])?;
    trial.expect(&["start", name], 0, &["finishing it"])?;
    status(trial, name, "up")?;
    // Before the new one got its name, and it is gone.
    trial.ask(&["rename", name, &old])?;
    trial.expect(&["start", name], 0, &["up already"])?;
    // What another has made stays, whatever its name.
    trial.ask(&["create", "--name", &old, &trial.image])?;
    trial.expect(&["restart", name], 0, &[])?;
    trial.ask(&["rm", &old])?;
    trial.expect(&["destroy", name], 0, &[])?;
    nothing_left(trial, name)
}

/// A `create` that comes to nothing takes away what it has made, and not what was kept before.
pub fn failed_create(trial: &Trial<'_>) -> Result<()> {
    let name = "pbtest-again";
    let before = "plainboot-pbtest-again-var";
    let image = trial.image.as_str();
    let words = ["create", name, "--image", image, "--memory", "much"];
    let addresses = ["--host-address", HOST_ADDRESS, "--local-address", "192.168.213.11"];
    trial.expect(&[&words[..], &addresses].concat(), 1, &[" create: "])?;
    nothing_left(trial, name)?;
    trial.same("what is left of the network", &network_ids(trial)?, "");

    trial.ask(&["volume", "create", "--label", "plainboot.of=pbtest-again", before])?;
    trial.expect(&words, 1, &[" create: "])?;
    let volumes = ["volume", "ls", "--quiet", "--filter", "label=plainboot.of=pbtest-again"];
    trial.same("what is left of its volumes", &trial.ask(&volumes)?, before);
    let kept = format!("pbtest-again has what is kept in {before} from before");
    trial.expect(&["create", name, "--image", image], 0, &[&kept])?;
    trial.expect(&["destroy", name], 0, &[])?;
    nothing_left(trial, name)
}
