"""How a pipeline logs in to a registry: with which command, as whom, and which secrets that needs.

GITHUB_TOKEN is for GitHub's own registry alone; another registry must never get it. The other names are those of the
documentation of docker/login-action.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from buildlib.core.errors import UsageError
from buildlib.registry.reference import HUB, parse

GITHUB = "ghcr.io"
# The AWS CLI, which GitHub's runners have, exchanges keys for a password that ECR accepts for twelve hours.
ECR = re.compile(r"\d{12}\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
PUBLIC_ECR = "public.ecr.aws"
# Artifact Registry and Container Registry of Google, which take the JSON key of a service account for a password.
GOOGLE = re.compile(r"[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z]+\.)?gcr\.io")
NAMED = ("REGISTRY_USERNAME", "REGISTRY_PASSWORD")  # of any other registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """`command` is what the job runs, `env` its variables, `secrets` those that the repository must have."""

    command: str
    env: dict[str, str]
    secrets: tuple[str, ...] = ()
    comment: str = ""

    @property
    def step(self) -> str:
        """The step of the workflow."""
        lines = [f"      - run: {self.command}", "        env:", *(f"          {k}: {v}" for k, v in self.env.items())]
        if self.comment:
            lines.insert(0, f"      # {self.comment}")
        return "".join(f"{line}\n" for line in lines)


def login(prefix: str) -> Login:
    """The login at the registry of the setting `registry`. UsageError for a text that is not one."""
    host = _host(prefix)
    aws = ECR.fullmatch(host)
    if host == GITHUB:
        return Login(command=_docker(host, "$GITHUB_ACTOR"), env={"PASSWORD": "${{ secrets.GITHUB_TOKEN }}"})
    if aws or host == PUBLIC_ECR:
        service, region = ("ecr", aws["region"]) if aws else ("ecr-public", "us-east-1")
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        return Login(
            command=f"aws {service} get-login-password --region {region} | docker login {host} --username AWS --password-stdin",
            env={keys[0]: _variable(keys[0]), keys[1]: _secret(keys[1])}, secrets=keys,
            comment="without keys: aws-actions/configure-aws-credentials with a role, in place of `env`",
        )  # fmt: skip
    if GOOGLE.fullmatch(host):
        return Login(
            command=_docker(host, "_json_key"), env={"PASSWORD": _secret("GAR_JSON_KEY")}, secrets=("GAR_JSON_KEY",),
            comment="the JSON key of a service account; without one: google-github-actions/auth, and the user oauth2accesstoken",
        )  # fmt: skip
    name, password = ("DOCKERHUB_USERNAME", "DOCKERHUB_TOKEN") if host == HUB else NAMED
    return Login(
        # Docker Hub's form has no host: `docker login docker.io` was a login at a registry of that name in older versions.
        command=_docker("" if host == HUB else host, "$REGISTRY_USER"),
        env={"REGISTRY_USER": _variable(name), "PASSWORD": _secret(password)}, secrets=(name, password),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class GitLabLogin:
    """What a job runs, one line each, and the CI/CD variables that the project must have for it.

    `own`: not if the registry is that of this GitLab, which has a token for each job.
    """

    commands: tuple[str, ...]
    variables: tuple[str, ...]
    own: bool = False


def gitlab_login(prefix: str) -> GitLabLogin:
    """The login at the registry of the setting `registry` in a job of GitLab's. UsageError for a text that is not one.

    The job's token goes to the registry of this GitLab alone, whatever its name is.
    """
    host, known = _host(prefix), login(prefix)
    names = known.secrets or NAMED  # GitHub's registry is one of the others here
    if "aws " in known.command:
        return GitLabLogin(commands=("pip install awscli", known.command), variables=names)
    user = f"${names[0]}" if len(names) > 1 else "_json_key"
    commands: tuple[str, ...] = (_docker("" if host == HUB else host, user, names[-1]),)
    if names == NAMED:
        token = "REGISTRY_USERNAME=$CI_REGISTRY_USER REGISTRY_PASSWORD=$CI_REGISTRY_PASSWORD"
        commands = (f'if [ "$CI_REGISTRY" = {host} ]; then {token}; fi', *commands)
    return GitLabLogin(commands=commands, variables=names, own=names == NAMED)


def _docker(host: str, user: str, password: str = "PASSWORD") -> str:
    quoted = f'"{user}"' if user.startswith("$") else user
    return " ".join(f'printf %s "${password}" | docker login {host} --username {quoted} --password-stdin'.split())


def _secret(name: str) -> str:
    return f"${{{{ secrets.{name} }}}}"


def _variable(name: str) -> str:
    """A name that need not be secret: a variable of the repository, or a secret."""
    return f"${{{{ vars.{name} || secrets.{name} }}}}"


def _host(prefix: str) -> str:
    """The registry in the setting `registry`, docker.io for Docker Hub. Nothing in it means anything to YAML or a shell."""
    try:
        host = parse(f"{prefix}/component").registry
    except UsageError:
        host = ""
    if not re.fullmatch(r"[\w.-]+(:\d+)?", host):
        raise UsageError(f"registry: {prefix!r} is not the name of a registry", "write it as ghcr.io/acme")
    return host
