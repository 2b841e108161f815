"""Lists every package of the five folders; everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

FOLDERS = ("codecs", "server", "consumer", "emulator", "cli")

setup(
    packages=[
        f"teltonika.{package}"
        for folder in FOLDERS
        for package in (folder, *(f"{folder}.{name}" for name in find_packages(folder)))
    ],
)
