"""`nox`: the tests on each Python that is supported, and what is built."""

import nox

nox.options.sessions = ["tests"]


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """The whole suite; `nox -- tests/unit` for a part of it."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def dist(session: nox.Session) -> None:
    """A wheel and an sdist, and whether a package index would take them."""
    session.install("build", "twine")
    session.run("python", "-m", "build", "--outdir", "dist")
    session.run("twine", "check", "--strict", "dist/*.whl", "dist/*.tar.gz")


@nox.session
def audit(session: nox.Session) -> None:
    """Known weaknesses of what is installed with it; asks a database on the network."""
    session.install(".", "pip-audit")
    session.run("pip-audit")
