"""Which packages and targets of the workspace a request means, by cargo's rules. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from buildlib.core.errors import NothingToDo, UsageError
from buildlib.core.plan import Artifact, words
from buildlib.core.request import Request
from buildlib.core.targets import suggestion
from buildlib.machine.workspace import Component, Package, Workspace

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a command works on. `target_flags` are cargo's words for the targets."""

    workspace: Workspace
    packages: tuple[Package, ...]
    components: tuple[Component, ...]  # binaries, those included that cargo leaves out for their features
    examples: tuple[str, ...]
    libraries: tuple[str, ...]  # file names
    target_flags: tuple[str, ...]

    @property
    def flags(self) -> tuple[str, ...]:
        """Return cargo's words for the packages, which may change when cargo writes Cargo.lock."""
        return package_flags(self.workspace, self.packages)

    def without_shared_libraries(self) -> Selection:
        """The same for a static target. rustc drops a cdylib there if the library is something else as well, and fails if not."""
        alone = {package.name for package in self.packages if package.only_shared}
        alone -= {component.package for component in self.components}
        if not self.libraries or not alone:
            return self
        packages = tuple(package for package in self.packages if package.name not in alone)
        return replace(self, packages=packages)

    def includes(self, artifact: Artifact) -> bool:
        """Whether cargo compiled this file because it is selected, and not for something that depends on it."""
        if artifact.is_example:
            selected = artifact.name in self.examples
        elif artifact.kind == "bin":
            selected = artifact.name in {component.name for component in self.components}
        else:
            selected = artifact.path.name in self.libraries
        return selected and not artifact.test


def select(workspace: Workspace, request: Request) -> Selection:
    """Return what `request` means for a build.

    Without packages it means the default members of the current directory, as for cargo; a named component brings its package.

    Raises:
        UsageError: an unknown name (with the nearest one), or one name for two files of dist/.
        NothingToDo: nothing would be compiled.
    """
    if request.no_binaries:
        return Selection(workspace=workspace, packages=(), components=(), examples=(), libraries=(), target_flags=())
    packages, named = _named(workspace, request)
    names = {package.name for package in packages}
    inside = tuple(component for component in workspace.components if component.package in names)
    everything = not request.names_targets
    components = named or (inside if everything or request.bins else ())
    owners = _examples(packages, request)
    examples = tuple(dict.fromkeys(name for _, name in owners))
    libraries = tuple(name for package in packages for name in package.libraries) if request.library else ()
    if not (components or examples or libraries):
        raise _nothing(workspace, packages, request)
    _check_file_names(components, owners, packages if libraries else ())
    target_flags = (
        *(words("--bin", (component.name for component in components)) if named else ("--bins",) if components else ()),
        *words("--example", examples),
        *(("--lib",) if libraries else ()),
    )
    return Selection(
        workspace=workspace, packages=packages, components=components, examples=examples, libraries=libraries,
        target_flags=target_flags,
    )  # fmt: skip


def select_packages(workspace: Workspace, request: Request) -> tuple[Package, ...]:
    """Return the packages that `request` means: named ones, all, or the default members.

    Raises:
        UsageError: an unknown package, or `exclude` without `workspace`.
    """
    if request.exclude and not request.workspace:
        raise UsageError("--exclude needs --workspace", "add it, or name the packages with --package")
    for spec in (*request.packages, *request.exclude):
        if not any(package.matches(spec) for package in workspace.members):
            known = sorted(package.name for package in workspace.members)
            raise UsageError(f"unknown package {spec!r}", suggestion(spec, known))

    def chosen(package: Package) -> bool:
        if request.workspace:
            return not any(map(package.matches, request.exclude))
        if request.packages:
            return any(map(package.matches, request.packages))
        return package.default

    packages = tuple(package for package in workspace.members if chosen(package))
    if workspace.members and not packages:
        raise NothingToDo("no package is left", "use --exclude for fewer packages")
    return packages


def package_flags(workspace: Workspace, packages: tuple[Package, ...]) -> tuple[str, ...]:
    """Return cargo's words for `packages`. They do not depend on the directory in which cargo runs."""
    if packages == workspace.members:
        return ("--workspace",)
    return words("--package", workspace.specs(packages))


def cargo_test_flags(workspace: Workspace, request: Request) -> tuple[str, ...]:
    """Return cargo's words for the packages and targets of `cargo test`. UsageError as in `select`."""
    packages, named = _named(workspace, request)
    return (
        *package_flags(workspace, packages),
        *words("--bin", (component.name for component in named)),
        *words("--example", request.examples),
        *(("--bins",) if request.bins else ()),
        *(("--lib",) if request.library else ()),
    )


def enabled_features(
    workspace: Workspace, packages: Iterable[Package], request: Request, features: Iterable[str]
) -> Mapping[str, frozenset[str]]:
    """Return the features of each member that a build of `packages` enables, by the name of the member.

    It follows features and dependencies between members, so it is exact unless another crate depends on a member.
    """
    members = {package.name: package for package in workspace.members}
    enabled: dict[str, set[str]] = defaultdict(set)
    seen: set[str] = set()
    queue: list[tuple[str, str]] = []  # member, feature

    def use(name: str, wanted: Iterable[str]) -> None:
        if name in members:
            queue.extend((name, feature) for feature in wanted if (name, feature) not in queue)
            if name not in seen:
                seen.add(name)
                for dependency in members[name].dependencies:
                    use(dependency.name, (*dependency.features, *(("default",) if dependency.default_features else ())))

    for package in packages:
        wanted = list(package.features) if request.all_features else []
        wanted += [] if request.no_default_features else ["default"]
        use(package.name, [*wanted, *(name for name in features if "/" not in name)])
    for name in features:
        owner, slash, feature = name.partition("/")
        if slash:
            use(owner, (feature,))
    while queue:
        name, feature = queue.pop()
        if feature in enabled[name]:
            continue
        enabled[name].add(feature)
        for further in members[name].features.get(feature, ()):
            owner, slash, inner = further.partition("/")
            if slash:
                use(owner.removesuffix("?"), (inner,))
                enabled[name].add(further)  # required-features may name a dependency's feature
            elif not further.startswith("dep:"):
                queue.append((name, further))
    return {name: frozenset(found) for name, found in enabled.items()}


def left_out(
    workspace: Workspace, selection: Selection, request: Request, features: tuple[str, ...]
) -> tuple[Component, ...]:
    """Return the binaries of `selection` that cargo will leave out, because a feature that they require is off."""
    enabled = enabled_features(workspace, selection.packages, request, features)
    return tuple(
        component for component in selection.components
        if not set(component.required_features) <= {*enabled.get(component.package, ()), *features}
    )  # fmt: skip


def _named(workspace: Workspace, request: Request) -> tuple[tuple[Package, ...], tuple[Component, ...]]:
    """The packages that the request means, and the binaries that it names, which bring theirs unless it names packages too."""
    packages = select_packages(workspace, request)
    named = _named_components(workspace, request, packages)
    if named and not (request.packages or request.workspace):
        owners = {component.package for component in named}
        packages = tuple(package for package in workspace.members if package.name in owners)
    return packages, named


def _named_components(workspace: Workspace, request: Request, packages: tuple[Package, ...]) -> tuple[Component, ...]:
    """The binaries that the request names: BINARY, PACKAGE/BINARY, or a package for its only or default binary."""
    inside = {package.name for package in packages} if request.packages or request.workspace else None
    named: dict[Component, None] = {}
    for word in request.components:
        found = [one for one in matching(workspace, word) if inside is None or one.package in inside]
        if not found:
            known = [one.name for one in workspace.components if inside is None or one.package in inside]
            where = (
                f" in {', '.join(sorted(inside))}"
                if inside and inside != {one.name for one in workspace.members}
                else ""
            )
            raise UsageError(f"unknown component {word!r}{where}", suggestion(word, known))
        named.update(dict.fromkeys(found))
    return tuple(named)


def matching(workspace: Workspace, word: str) -> list[Component]:
    """The binaries that a value of --component means: `all` is all of them."""
    package, slash, name = ("*" if word == ALL else word).rpartition("/")
    found = [
        one for one in workspace.components if fnmatchcase(one.name, name) and (not slash or one.package == package)
    ]
    return found or list(_of_package(workspace, word))


def _of_package(workspace: Workspace, name: str) -> Iterator[Component]:
    """The binary that `cargo run --package` would take."""
    for package in workspace.members:
        binaries = [one for one in workspace.components if one.package == package.name == name]
        yield from (one for one in binaries if len(binaries) == 1 or one.name == package.default_run)


def _examples(packages: Iterable[Package], request: Request) -> list[tuple[str, str]]:
    """The examples that the request names, each as its package and its name."""
    known = [(package.name, name) for package in packages for name in package.examples]
    for word in request.examples:
        if not any(fnmatchcase(name, word) for _, name in known):
            raise UsageError(f"unknown example {word!r}", suggestion(word, sorted({name for _, name in known})))
    return [one for one in known if any(fnmatchcase(one[1], word) for word in request.examples)]


def _check_file_names(
    components: Iterable[Component], examples: Iterable[tuple[str, str]], packages: Iterable[Package]
) -> None:
    """UsageError if two targets would be one file in dist/: cargo itself would let one overwrite the other."""
    owners: dict[str, list[tuple[str, str]]] = defaultdict(list)  # kind and package
    for component in components:
        owners[component.name].append(("binary", component.package))
    for package_name, name in examples:
        owners[name].append(("example", package_name))
    for package in packages:
        for name in package.libraries:
            owners[name].append(("library", package.name))
    for name, found in owners.items():
        if len(found) > 1:
            raise _same_name(name, found)


def _same_name(name: str, found: list[tuple[str, str]]) -> UsageError:
    kinds = {kind for kind, _ in found}
    packages = list(dict.fromkeys(package for _, package in found))
    owners = packages if len(kinds) == 1 else [f"the {kind} of {package}" for kind, package in found]
    what = (
        {"binary": "binaries", "example": "examples", "library": "libraries"}[kinds.pop()]
        if len(kinds) == 1
        else "files"
    )
    choices = " or ".join(f"--package {package}" for package in packages)
    by_name = f", or as --component {packages[0]}/{name}" if what == "binaries" else ""
    return UsageError(
        f"two {what} are called {name!r}, in {', '.join(owners[:-1])} and {owners[-1]}",
        f"choose one with {choices}{by_name}" if len(packages) > 1 else "choose one of them",
    )


def _nothing(workspace: Workspace, packages: tuple[Package, ...], request: Request) -> NothingToDo:
    names = ", ".join(package.name for package in packages) or str(workspace.root)
    if request.library:
        return NothingToDo(
            f"no library in {names} that other languages link", 'add crate-type = ["cdylib"] or ["staticlib"] to [lib]'
        )
    libraries = [name for package in packages for name in package.libraries]
    if libraries:
        help_text = f"--lib builds {', '.join(libraries)}"
    elif elsewhere := [f"{one.package}/{one.name}" for one in workspace.components]:
        help_text = f"choose with --package, or --workspace: {', '.join(elsewhere[:5])}"
    else:
        help_text = "add a [[bin]] or src/main.rs; `buildlib test` compiles and tests its libraries"
    return NothingToDo(f"no binaries in {names}", help_text)
