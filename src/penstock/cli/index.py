"""All commands: where each is, its one line in the help, and the heading it stands under."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.cli.lazy import Entry

BEGIN, DEFINE, LOOK, CARE = "Begin", "Functions and triggers", "What happened", "The installation"

COMMANDS: Mapping[str, Entry] = {
    "init": Entry(
        "begin:init", BEGIN, "Make a folder to work in: a function, an input and a watched folder."
    ),
    "demo": Entry("demo:demo", BEGIN, "Show Penstock at work on files of real instruments."),
    "serve": Entry("service:serve", BEGIN, "Watch the storage folders and run functions, until stopped."),
    "status": Entry("service:status", BEGIN, "Say whether Penstock runs here, and how it is."),
    "open": Entry("service:open_", BEGIN, "Print an address that opens the page, once, within five minutes."),
    "stop": Entry("service:stop", BEGIN, "Stop Penstock; what is under way goes on at the next start."),
    "test": Entry("trial:test", DEFINE, "Try a function or workflow out on one file, without a server."),
    "deploy": Entry("deployment:deploy", DEFINE, "Deploy the functions and workflows of a file."),
    "undeploy": Entry("deployment:undeploy", DEFINE, "Let a function or workflow start no more."),
    "functions": Entry("functions:functions", DEFINE, "Deployed functions and workflows."),
    "triggers": Entry("triggers:triggers", DEFINE, "What starts what: pause, resume, roll back."),
    "backtest": Entry(
        "backtest:backtest", DEFINE, "Say what a trigger would have done with the events of the past."
    ),
    "schema": Entry("schema:schema", DEFINE, "Print the JSON Schema of YAML definitions."),
    "events": Entry("events:events", LOOK, "The log of everything that happened."),
    "explain": Entry("explain:explain", LOOK, "Say why something ran, or did not run, on a file."),
    "runs": Entry("runs:runs", LOOK, "Runs of workflows, with their steps."),
    "logs": Entry("logs:logs", LOOK, "What the functions of a run printed."),
    "jobs": Entry("jobs:jobs", LOOK, "Steps that went to a batch queue."),
    "dead-letters": Entry("letters:letters", LOOK, "What could not be processed: look, repair, replay."),
    "replay": Entry("replay:replay", LOOK, "Run a trigger again on events of the past."),
    "doctor": Entry("doctor:doctor", CARE, "Check this machine and installation; findings have remedies."),
    "check-settings": Entry(
        "settings:check_settings", CARE, "Check a settings file whole; all faults are told at once."
    ),
    "backup": Entry("backup:backup", CARE, "Copy the log and the state into a new folder."),
    "restore": Entry("backup:restore", CARE, "Take log and state back; Penstock must be stopped."),
    "move": Entry(
        "move:move", CARE, "Move log and state to a broker and a database; Penstock must be stopped."
    ),
    "coverage": Entry(
        "reconcile:coverage", CARE, "Say up to when everything in each tree was told, and who is silent."
    ),
    "reconcile": Entry(
        "reconcile:reconcile", CARE, "Compare a storage with what is known of it, and tell what was not told."
    ),
    "unit": Entry("unit:unit", CARE, "Print or install a systemd user unit, to run always."),
    "completion": Entry(
        "completion:completion", CARE, "Print the script that completes commands in a shell."
    ),
}
