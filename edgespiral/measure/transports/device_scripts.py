"""What runs in a device's POSIX shell; each script prints `MARK STATE` when it has got there.

The mark is a random word. Output that lacks it has not come through whole, whatever the exit code.
"""

from __future__ import annotations

from dataclasses import dataclass

# For how long a device keeps the work folder of a host that has gone without a word.
GRACE_S = 600

# Ends whatever still runs in the work folder: what is left of a run would disturb the next.
_SWEEP = """
sweep() {
    for entry in /proc/[0-9]*; do
        case "$(readlink "$entry/cwd" 2>/dev/null)" in
            "$work" | "$work/"* | "$work (deleted)") kill -9 "${entry#/proc/}" 2>/dev/null ;;
        esac
    done
}
"""

# Arguments: mark, parent folder, work folder (empty: make one), token, grace in seconds.
# Stays as long as the connection does. "end" on its input removes the folder. If the connection
# breaks instead, it waits for a successor with another token, and without one removes the folder.
KEEP = (
    _SWEEP
    + """
mark=$1 base=$2 work=$3 token=$4 grace=$5
say() { printf '\\n%s %s\\n' "$mark" "$1"; }
trap '' HUP
umask 077
case $base in "~" | "~/"*) base=$HOME${base#?} ;; esac
if [ -z "$work" ]; then
    work=$(mktemp -d "$base/edgespiral-XXXXXX") && work=$(cd "$work" && pwd -P) ||
        { say failed; exit 1; }
    made=$work
elif [ ! -d "$work" ]; then
    mkdir "$work" || { say failed; exit 1; }
fi
sweep
printf '%s' "$token" > "$work/.keeper" || { rm -rf ${made:+"$made"}; say failed; exit 1; }
say "open $work"
while read -r word; do
    [ "$word" = end ] || continue
    sweep
    cd / && rm -rf "$work" && say closed
    exit
done
(
    exec >/dev/null 2>&1
    [ "$(cat "$work/.keeper")" = "$token" ] || exit
    sweep
    sleep "$grace"
    [ "$(cat "$work/.keeper")" = "$token" ] || exit
    sweep
    rm -rf "$work"
) </dev/null &
"""
)

# What the scripts below begin with. Arguments: mark, work folder, then their own.
_IN_WORK = """
mark=$1 work=$2
shift 2
state=folder-lost
trap 'printf "\\n%s %s\\n" "$mark" "$state"' EXIT
printf '%s\\n' "$mark"
cd "$work" || exit
state=failed
digest() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum
    elif command -v shasum >/dev/null 2>&1; then shasum -a 256
    else echo "there is neither sha256sum nor shasum" >&2
    fi | cut -d ' ' -f 1
}
"""

# Arguments: a name and the SHA-256 that its content must have; the content is the input.
PUSH = (
    _IN_WORK
    + """
name=$1 wanted=$2
case $name in */*) mkdir -p "${name%/*}" || exit ;; esac
part=$name.part
cat > "$part" || { rm -f "$part"; exit; }
if [ "$(digest < "$part")" = "$wanted" ]; then
    mv -f "$part" "$name" && state=written
else
    rm -f "$part"
    state=damaged
fi
"""
)

# Argument: a name. Prints its SHA-256 on a line, then its content.
PULL = (
    _IN_WORK
    + """
[ -f "$1" ] || { echo "No such file" >&2; exit; }
digest < "$1" && cat "$1" && state=read
"""
)

# Arguments: a command. Its input is empty. When this script's own input ends, so does the command:
# that is how it learns of a broken connection or of a host that waits no longer.
RUN = (
    _IN_WORK
    + """
case $1 in "~/"*) first=$HOME${1#?}; shift; set -- "$first" "$@" ;; esac
export TMPDIR="$work"
command -v "$1" >/dev/null 2>&1 || { state=no-command; exit; }
exec 3<&0
group=
if command -v setsid >/dev/null 2>&1; then
    group=-
    setsid "$@" </dev/null 3<&- &
else
    "$@" </dev/null 3<&- &
fi
child=$!
(
    # Android's mksh would keep the output open, and put SIGTERM off, for as long as cat runs.
    exec >/dev/null 2>&1
    cat <&3
    kill -9 "$group$child"
) &
watch=$!
exec 3<&-
wait "$child"
state="exit $?"
kill -9 "$watch" 2>/dev/null
"""
)

# Ends what a command has left behind.
SWEEP = _IN_WORK + "cd / &&" + _SWEEP + "sweep\nstate=swept\n"


def keep_command(workdir: str, work: str, mark: str) -> list[str]:
    """What keeps a work folder below `workdir`: `work`, or a new one where that is empty."""
    return ["sh", "-c", KEEP, "edgespiral", mark, workdir, work, mark, str(GRACE_S)]


def ask_command(script: str, mark: str, work: str, *arguments: str) -> list[str]:
    """What runs one of the other scripts in a work folder."""
    return ["sh", "-c", script, "edgespiral", mark, work, *arguments]


@dataclass(frozen=True)
class Reply:
    """How a script on the device ended, and what it had printed."""

    state: str
    stdout: bytes
    stderr: str


def marked_reply(stdout: bytes, stderr: str, mark: str) -> Reply | None:
    """The answer of a script between the mark's two places; None where either is missing."""
    _, begun, rest = stdout.partition(f"{mark}\n".encode())
    body, ended, state = rest.rpartition(f"\n{mark} ".encode())
    if not begun or not ended or not state.endswith(b"\n"):
        return None
    return Reply(state.decode(errors="replace").strip(), body, stderr)
