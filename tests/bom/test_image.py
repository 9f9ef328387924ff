"""The bill of materials of an image names what is installed in it."""

import subprocess
import sys
from importlib.metadata import distributions, version

from headgate.bom.image import debian_packages, image_bom, python_packages
from tests.bom.schema import valid

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u13
Description: GNU C Library
 Package: not a field, because the line is indented

Package: perl
Status: deinstall ok config-files
Architecture: amd64
Version: 5.36.0-7

Package: git
Status: install ok installed
Architecture: amd64
Version: 1:2.39.5-0+deb12u2
"""


def test_a_bill_names_each_installed_package_of_debian_and_none_that_was_removed() -> None:
    found = valid(image_bom("headgate/registry", "1.0", [], debian_packages(STATUS)))
    assert [each["purl"] for each in found["components"]] == [
        "pkg:deb/debian/git@1%3A2.39.5-0+deb12u2?arch=amd64",
        "pkg:deb/debian/libc6@2.36-9+deb12u13?arch=amd64",
    ]


def test_a_bill_names_each_installed_python_package_once_with_its_version() -> None:
    found = valid(image_bom("headgate/registry", "1.0", python_packages(list(distributions())), []))
    versions = {each["name"]: each["version"] for each in found["components"]}
    assert versions["grpcio-status"] == version("grpcio-status")


def test_the_command_of_the_recipe_prints_a_valid_bill() -> None:
    command = [sys.executable, "-m", "headgate.bom.image"]
    made = subprocess.run([*command, "headgate/registry"], capture_output=True, text=True, check=True)
    assert valid(made.stdout)["metadata"]["component"]["name"] == "headgate/registry"
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (refused.returncode, "give the name of the image" in refused.stderr) == (2, True)
