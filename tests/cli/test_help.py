"""Help pages: how wide they are and what they tell."""

import re

import pytest
from click.testing import CliRunner

from eocodec.cli import commands

NAMES = commands.list_commands(None)


def help_of(*words):
    result = CliRunner().invoke(commands, [*words, "-h"], env={"COLUMNS": "180"})
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("name", [None, *NAMES])
def test_help_fits_a_hundred_columns(name):
    text = help_of(name) if name else help_of()
    assert max(map(len, text.splitlines())) <= 100
    assert "-h, --help" in text


def test_every_command_has_one_line():
    listed = help_of().partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == NAMES
    assert all(line.endswith(".") and "..." not in line for line in listed)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_explained_and_examples_run_through_the_parser(name):
    command = commands.get_command(None, name)
    assert all(option.help for option in command.params if option.param_type_name == "option")
    text = help_of(name)
    examples = re.findall(r"^  eocodec (.+?)(?:  .*)?$", text.partition("Examples:")[2], re.M)
    assert examples
    for example in examples:
        first, *words = example.split()
        assert first == name
        words = ["." if word in ("scenes",) else word for word in words]
        command.make_context(name, words, resilient_parsing=False)


def test_compress_tells_defaults_ranges_and_units():
    text = " ".join(help_of("compress").split())
    for words in (
        "Quality and size",
        "Error bounds",
        "Fields (netCDF, GRIB)",
        "[1 to 7]",
        "in DN",
        "bits per pixel and band",
        "Rows and columns of a tile, in pixels. [default: 512; 16 to 8192]",
        "coded with the learned model at quality 4",
        "99 % of their real information, everything else is exact",
    ):
        assert words in text


def test_the_version_has_a_short_option():
    result = CliRunner().invoke(commands, ["-V"])
    assert result.stdout == CliRunner().invoke(commands, ["--version"]).stdout
    assert result.stdout.startswith("eocodec ")
