"""What runs on a phone: a shell script that starts `onnxruntime_perf_test` again and again.

It needs a POSIX shell and what Android's toybox has. What the tool writes is handed on as it is,
between lines that begin with `@ `; reading it is the host's part. Arithmetic is in whole
microseconds below 2^31, which is what Android's mksh has.
"""

from __future__ import annotations

# Begins with assignments: mode, threads, cores, flags, rounds (one order of models a line), own_N
# and model_N of every model, round_us, warmup_us, least, most, settling, root.
BODY = """
tool=./onnxruntime_perf_test
# A number has a point, wherever the device's user lives.
export LC_ALL=C
cpus=$root/sys/devices/system/cpu
export LD_LIBRARY_PATH="$PWD${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

# The fastest cores, in groups of equal speed, until there is one for every thread.
fastest() {
    for file in "$cpus"/cpu[0-9]*/cpufreq/cpuinfo_max_freq; do
        [ -r "$file" ] || continue
        core=${file#"$cpus/cpu"}
        echo "$(cat "$file") ${core%%/*}"
    done | sort -rn
}
mask=0 taken=0 last= pinned=
pin() { mask=$((mask | 1 << $1)) taken=$((taken + 1)) pinned="$pinned $1"; }
if [ -n "$cores" ]; then
    for core in $cores; do pin "$core"; done
else
    while read -r speed core; do
        [ -n "$core" ] || continue
        [ "$speed" = "$last" ] || [ "$taken" -lt "$threads" ] || break
        pin "$core" && last=$speed
    done <<EOF
$(fastest)
EOF
fi
most=$taken
[ "$most" -gt 0 ] || most=$(ls -d "$cpus"/cpu[0-9]* 2>/dev/null | wc -l)
[ "$most" = 0 ] || [ "$threads" -le "$most" ] || { echo "@ crowded $threads" $most; exit 1; }
mask=$(printf %x "$mask")
[ "$mask" = 0 ] || taskset "$mask" true || { echo "@ unpinnable$pinned"; exit 1; }

facts() {
    for name in manufacturer model; do echo "$name=$(getprop "ro.product.$name" 2>/dev/null)"; done
    echo "soc=$(getprop ro.soc.model 2>/dev/null)"
    echo "android=$(getprop ro.build.version.release 2>/dev/null)"
    echo "architecture=$(uname -m)"
    echo "system=$(uname -s) $(uname -r)"
    echo "pinned=$pinned"
    echo "cores=$(ls -d "$cpus"/cpu[0-9]* 2>/dev/null | wc -l)"
}
state() {
    for core in ${pinned:-0}; do
        for name in scaling_governor scaling_cur_freq scaling_max_freq; do
            echo "$name=$(cat "$cpus/cpu$core/cpufreq/$name" 2>/dev/null)"
        done
    done
    for zone in "$root"/sys/class/thermal/thermal_zone*; do
        [ -r "$zone/temp" ] && echo "zone=$(cat "$zone/type" 2>/dev/null) $(cat "$zone/temp")"
    done 2>/dev/null
    echo "low_power=$(settings get global low_power 2>/dev/null)"
    dumpsys thermalservice 2>/dev/null
}

# Arguments: model, runs, then further flags. Leaves what it writes in `times`.
start() {
    index=$1 runs=$2
    shift 2
    eval "set -- \\"\\$@\\" $flags \\$own_$index"
    eval "model=\\$model_$index"
    rm -f times
    if [ "$mask" = 0 ]; then "$tool" "$@" -r "$runs" "$model" times
    else taskset "$mask" "$tool" "$@" -r "$runs" "$model" times
    fi >said 2>&1 </dev/null
    code=$?
    [ $code = 0 ] || { echo "@ failed $index $code"; tail -c 2000 said; exit 1; }
    [ -s times ] || { echo "@ wordless $index"; tail -c 2000 said; exit 1; }
}
# The median of `times` in microseconds, at least 1.
typical() {
    middle=$((($(wc -l < times) + 1) / 2))
    seconds=$(cut -d , -f 2 times | sort -g | sed -n "${middle}p")
    us=$(printf %.6f "$seconds" | sed 's/[.]//; s/^0*//')
    echo "${us:-1}"
}
# As many runs of `us` as fill a time, within bounds.
filling() {
    wanted=$(($1 / us))
    [ "$wanted" -ge "$2" ] || wanted=$2
    [ "$wanted" -le "$3" ] || wanted=$3
    echo "$wanted"
}

chmod 700 "$tool" || exit 1
echo "@ facts"; facts
echo "@ before"; state
for number in $models; do
    start "$number" 10
    us=$(typical)
    warming=$(filling "$warmup_us" 10 10000)
    start "$number" "$warming"
    us=$(typical)
    eval "count_$number=$(filling "$round_us" "$least" "$most")"
    echo "@ warm $number $((warming + 10))"
done
echo "$rounds" | while read -r order; do
    for number in $order; do
        eval "count=\\$count_$number"
        if [ "$mode" = profile ]; then
            rm -f layers*
            start "$number" "$count" -p layers
            echo "@ profile $number $count"
            cat layers*
            echo
        else
            start "$number" $((count + settling))
            echo "@ round $number"
            cat times
        fi
    done
done || exit 1
echo "@ after"; state
echo "@ end"
"""
