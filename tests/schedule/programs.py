"""Programs that behave as crontab and systemctl do, with all that they keep in one folder."""

from pathlib import Path

CRONTAB = """#!/bin/sh
table="$KEPT/crontab"
case "$1" in
-l) if [ -f "$table" ]; then cat "$table"; else echo "no crontab for tester" >&2; exit 1; fi ;;
-r) rm "$table" ;;
-)  cat > "$table.new"
    if [ -s "$table.new" ] && [ "$(tail -c 1 "$table.new" | wc -l)" -eq 0 ]; then
        echo "new crontab file is missing newline before EOF, can't install." >&2; exit 1
    fi
    [ -z "$BROKEN" ] || { echo "errors in crontab file, can't install." >&2; exit 1; }
    mv "$table.new" "$table" ;;
*)  exit 2 ;;
esac
"""

SYSTEMCTL = """#!/bin/sh
echo "$*" >> "$KEPT/calls"
[ "$1 $2" = "--user --no-pager" ] || exit 2
shift 2
units="$XDG_CONFIG_HOME/systemd/user"
last=""
for word in "$@"; do last="$word"; done
case "$1" in
show-environment|daemon-reload|clean) ;;
enable)
    [ -z "$BROKEN" ] || { echo "Failed to enable unit: access denied" >&2; exit 1; }
    mkdir -p "$units/timers.target.wants"
    [ -f "$units/$last" ] || { echo "Unit file $last does not exist." >&2; exit 1; }
    ln -sf "$units/$last" "$units/timers.target.wants/$last" ;;
restart) [ -L "$units/timers.target.wants/$last" ] && touch "$KEPT/$last.active" ;;
disable)
    rm -f "$KEPT/$last.active" "$units/timers.target.wants/$last"
    rmdir "$units/timers.target.wants" 2>/dev/null; true ;;
show) [ -f "$KEPT/$last.active" ] && echo "Fri 2031-01-01 04:30:00 UTC" || echo "n/a" ;;
*) exit 2 ;;
esac
"""


def give(folder: Path, monkeypatch, *, crontab: bool = True, systemctl: bool = True) -> Path:
    """Put the programs on PATH, without any others of their names; return what they keep."""
    programs, kept = folder / "programs", folder / "kept"
    for made in (programs, kept):
        made.mkdir()
    for name, text, wanted in (("crontab", CRONTAB, crontab), ("systemctl", SYSTEMCTL, systemctl)):
        script = programs / name
        script.write_text(text if wanted else "#!/bin/sh\nexit 1\n", encoding="utf-8")
        script.chmod(0o755 if wanted or name == "systemctl" else 0o644)
    monkeypatch.setenv("KEPT", str(kept))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.delenv("BROKEN", raising=False)
    return kept
