"""``dolambda template``: the stack as a template that an administrator reviews and creates."""

from __future__ import annotations

import json
import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dolambda.cli import options as given
from dolambda.cli.connect import account_to_print, refuse_local
from dolambda.cli.files import writing
from dolambda.errors import ConfigurationError
from dolambda.provision.commands import shell_settings
from dolambda.provision.deploy import contents_of, names_of, resources
from dolambda.provision.template import Template
from dolambda.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dolambda.provision.names import Names

_FILE = "template.json"
_ABOUT = (
    "# Review the template. Then run this with credentials that may create roles, with UPLOADS set",
    "# to a bucket that holds the files while the stack is created.",
)

console = Console(highlight=False, soft_wrap=True)


class Language(StrEnum):
    """The language of a template."""

    cloudformation = "cloudformation"


Output = Annotated[
    Path | None,
    typer.Option(
        help="A directory for the template and the files that have to be uploaded. "
        "Default: print the template alone.",
        show_default=False,
    ),
]


@given.grouped
def template(
    language: Annotated[Language, typer.Argument(help="Language of the template.")],
    where: given.OnAws,
    chosen: given.StackSettings,
    output: Output = None,
) -> None:
    """Print the whole stack as a template for an administrator. Change nothing.

    Without credentials, ACCOUNT and REGION stand for yours.
    """
    if output and output.exists() and not output.is_dir():
        raise ConfigurationError(
            f"--output {str(output)!r} is not a directory", hint="Name a directory."
        )
    settings = Settings.resolve(**where.given(), **chosen.given())
    refuse_local(settings)
    account = account_to_print(settings)
    names, contents = names_of(account, settings), contents_of(settings, here=False)
    parts = resources(account, settings, here=False, contents=contents)
    made = Template.of(account, names, parts)
    text = json.dumps(made.document, indent=2)
    if output is None:
        print(text)
        return
    with writing(output, "--output"):
        made.write(output)
        (output / _FILE).write_text(f"{text}\n", encoding="utf-8")
    lines = [*_ABOUT, *shell_settings(account), *_steps(made, names, output)]
    console.print("\n".join(lines), markup=False)


def _steps(made: Template, names: Names, directory: Path) -> list[str]:
    """Return what an administrator does with the files, as commands of the AWS CLI."""

    def copied(files: Iterable[str], to: str) -> list[str]:
        return [f"aws s3 cp {shlex.quote(str(directory / name))} {to}/{name}" for name in files]

    create = (
        f"aws cloudformation create-stack --stack-name {names.stack}",
        f"--template-body file://{shlex.quote(str(directory / _FILE))}",
        "--capabilities CAPABILITY_NAMED_IAM",
        "--parameters ParameterKey=UploadBucket,ParameterValue=$UPLOADS",
        'ParameterKey=SigningKey,ParameterValue="$(openssl rand -hex 32)"',
    )
    return [
        f': "${{UPLOADS:?set it to a bucket in {names.region}}}"',
        *copied(made.uploads, "s3://$UPLOADS"),
        " ".join(create),
        f"aws cloudformation wait stack-create-complete --stack-name {names.stack}",
        *copied(made.objects, f"s3://{names.bucket}"),
        "# Then `dolambda deploy` with the same settings finds nothing to change.",
    ]
