"""What runs in a device's POSIX shell; each script prints `MARK STATE` when it has got there.

The mark is a random word. Output that lacks it has not come through whole, whatever the exit code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

# For how long a device keeps the work folder of a host that has gone without a word.
GRACE_S = 600

# What the name of a work folder begins with, and the file in it that holds its keeper's token.
PREFIX, MARKER = "edgespiral-", ".keeper"
# In the environment of what is started for a work folder, with the folder's name in brackets.
BELONGS_TO = "EDGESPIRAL_WORK"

# `ours` holds for a folder of our making alone: named by us, no link, the user's own and marked.
# `sweep` ends what was started for the work folder and still runs: it would disturb the next run.
_OWN = f"""
ours() {{
    case $work in */{PREFIX}?*) ;; *) return 1 ;; esac
    [ -d "$work" ] && [ ! -L "$work" ] && [ -O "$work" ] &&
        [ -f "$work/{MARKER}" ] && [ ! -L "$work/{MARKER}" ] && [ -O "$work/{MARKER}" ]
}}
sweep() {{
    case $work in */{PREFIX}?*) ;; *) return ;; esac
    for entry in $(grep -lsF "{BELONGS_TO}=[${{work##*/}}]" /proc/[0-9]*/environ 2>/dev/null); do
        entry=${{entry#/proc/}}
        [ "${{entry%%/*}}" = $$ ] || kill -9 "${{entry%%/*}}" 2>/dev/null
    done
}}
"""

# Arguments: mark, parent folder, work folder (empty: make one), token, grace in seconds.
# Stays as long as the connection does. "end" on its input removes the folder. If the connection
# breaks instead, it waits for a successor with another token, and without one removes the folder.
# What was there before is never taken for a new work folder, whatever a device's tools answer.
KEEP = (
    _OWN
    + f"""
mark=$1 base=$2 work=$3 token=$4 grace=$5
say() {{ printf '\\n%s %s\\n' "$mark" "$1"; }}
fail() {{ say failed; exit 1; }}
kept() {{ ours && [ "$(cat "$work/{MARKER}")" = "$token" ]; }}
remove() {{ kept || return; sweep; cd / && rm -rf "$work"; }}
trap '' HUP
umask 077
case $base in "~" | "~/"*) base=$HOME${{base#?}} ;; esac
base=$(cd "$base" && pwd -P) || fail
: "${{work:=${{base%/}}/{PREFIX}$token}}"
[ "${{work%/*}}" = "${{base%/}}" ] || fail
made=
if ! ours; then
    made=$work
    mkdir "$work" && [ ! -L "$work" ] && [ -O "$work" ] && [ -z "$(ls -A "$work")" ] || fail
fi
sweep
printf '%s' "$token" > "$work/{MARKER}" || {{
    [ -n "$made" ] && rm -f "$work/{MARKER}" && rmdir "$work"
    fail
}}
say "open $work"
while read -r word; do
    [ "$word" = end ] || continue
    remove && say closed
    exit
done
(
    exec >/dev/null 2>&1
    kept || exit
    sweep
    sleep "$grace"
    remove
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
case $name in */*)
    mkdir -p "${name%/*}" || exit
    # A link to elsewhere is not followed.
    [ "$(cd "./${name%/*}" && pwd -P)" = "$(pwd -P)/${name%/*}" ] ||
        { echo "${name%/*} is a link" >&2; exit; }
esac
part=$name.part
rm -f "$part"
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
# ONNX Runtime would send and keep what it learns of the device, from the process that is timed.
RUN = (
    _IN_WORK
    + """
export ORT_DISABLE_TELEMETRY=1 TMPDIR="$work"
case $1 in "~/"*) first=$HOME${1#?}; shift; set -- "$first" "$@" ;; esac
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
# Nothing of this run is left when the next begins.
wait "$watch" 2>/dev/null
"""
)

# Ends what a command has left behind.
SWEEP = _IN_WORK + "cd /\n" + _OWN + "sweep\nstate=swept\n"


def keep_command(workdir: str, work: str, mark: str) -> list[str]:
    """What keeps a work folder below `workdir`: `work`, or a new one where that is empty.

    A new one is called `PREFIX` and the mark.
    """
    return ["sh", "-c", KEEP, "edgespiral", mark, workdir, work, mark, str(GRACE_S)]


def ask_command(script: str, mark: str, work: str, *arguments: str) -> list[str]:
    """What runs one of the other scripts in a work folder, with all that it starts known by it."""
    belongs = f"{BELONGS_TO}=[{PurePosixPath(work).name}]"
    return ["env", belongs, "sh", "-c", script, "edgespiral", mark, work, *arguments]


@dataclass(frozen=True)
class Reply:
    """How a script on the device ended, and what it had printed."""

    state: str
    stdout: bytes
    stderr: str


def marked_reply(stdout: bytes, stderr: str, mark: str) -> Reply | None:
    """The answer of a script between the mark's two places; None where either is missing.

    What a device's shell says before and after, with the first word or the last, is no part of it.
    """
    _, begun, rest = stdout.partition(f"{mark}\n".encode())
    body, ended, last = rest.partition(f"\n{mark} ".encode())
    state, whole, _ = last.partition(b"\n")
    if not begun or not ended or not whole:
        return None
    return Reply(state.decode(errors="replace").strip(), body, stderr)
