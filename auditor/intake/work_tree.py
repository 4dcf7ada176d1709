"""The git work tree around a file: its commit, its changes, where it was pushed to."""

from dataclasses import replace
from pathlib import Path

from auditor.core.text import clean_text
from auditor.intake.git import Answer, Status, ask, head_without_git, read_status, shown_remote
from auditor.observations.code import FileState, Repository

MOST_CHANGES = 50
"""Changed files of a repository that are named."""


class WorkTree:
    """A work tree, asked once; where git does not answer, what its files tell."""

    def __init__(self, root: Path, status: Status, reason: str = "") -> None:
        self.root, self.status, self.reason = root, status, reason

    @classmethod
    def around(cls, folder: Path) -> "WorkTree | None":
        """Return the work tree that holds a folder, None where none does."""
        said = ask(folder, "rev-parse", "--show-toplevel")
        if not said.reason and said.text.strip():
            root = Path(said.text.rstrip("\n")).resolve()
            said = ask(root, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=no")
            if not said.reason:
                return cls(root, read_status(said))
        found, commit, branch = head_without_git(folder)
        if found is None:
            return None
        reason = said.reason or "it has no work tree"
        return cls(found, Status(commit=commit, branch=branch), reason)

    def path(self, file: Path | None) -> str | None:
        """Return a file's path within the tree, None where it is not in it."""
        if file is None or not file.is_relative_to(self.root):
            return None
        return file.relative_to(self.root).as_posix()

    def state(self, path: str) -> FileState:
        """Return how one file stands."""
        if self.reason:
            return "unknown"
        if path in self.status.changed:
            return "modified"
        tracked = self.ask("--literal-pathspecs", "ls-files", "-z", "--", path)
        if tracked.reason:
            return "unknown"
        if tracked.parts:
            return "committed"
        ignored = not self.ask("check-ignore", "--quiet", "--", path).reason
        return "ignored" if ignored else "untracked"

    def ask(self, *question: str) -> Answer:
        """Ask git in the root of the tree."""
        return ask(self.root, *question)

    def described(self) -> Repository:
        """Return what is told of the repository as a whole."""
        status = self.status
        about = Repository(
            name=clean_text(self.root.name, 80),
            commit=status.commit,
            branch=clean_text(status.branch, 120),
            reason=clean_text(self.reason, 200),
        )
        if self.reason:
            return about
        untracked = self.ask("ls-files", "--others", "--exclude-standard", "-z", "--", "*.py")
        changed = sorted({*status.changed, *untracked.parts})
        remotes = self._remotes()
        return replace(
            about,
            remote=clean_text(shown_remote(remotes[0]), 200) if remotes else "",
            changed=tuple(clean_text(path, 200) for path in changed[:MOST_CHANGES]),
            changes=len(changed),
            pushed=self._pushed(remotes),
            ahead=status.ahead,
            submodules=self._submodules(),
        )

    def _remotes(self) -> list[str]:
        """Return the addresses of all remotes, that of `origin` first."""
        said = self.ask("config", "-z", "--get-regexp", r"^remote\..*\.url$")
        pairs = sorted(part.partition("\n")[::2] for part in said.parts)
        return [url for _, url in sorted(pairs, key=lambda pair: pair[0] != "remote.origin.url")]

    def _pushed(self, remotes: list[str]) -> bool | None:
        if not remotes or not self.status.commit:
            return None
        if self.status.upstream:
            return self.status.ahead == 0
        said = self.ask(
            "for-each-ref", "--count=1", "--contains", self.status.commit, "refs/remotes"
        )
        return None if said.reason else bool(said.text.strip())

    def _submodules(self) -> tuple[str, ...]:
        if not (self.root / ".gitmodules").is_file():
            return ()
        said = self.ask("config", "-z", "-f", ".gitmodules", "--get-regexp", r"\.path$")
        paths = [part.partition("\n")[2] for part in said.parts]
        dirty = self.status.submodules
        return tuple(
            clean_text(path, 120) + (" (changed)" if path in dirty else "")
            for path in paths[:MOST_CHANGES]
        )
