"""The script's own part for `onnxruntime_perf_test`, which is started again and again."""

from __future__ import annotations

# Told besides: flags, own_N and model_N of every model, settling.
BODY = """
# Arguments: model, runs, then further flags. Leaves what it writes in `times`.
start() {
    index=$1 runs=$2
    shift 2
    eval "set -- \\"\\$@\\" $flags \\$own_$index"
    eval "model=\\$model_$index"
    rm -f times
    kept "$tool" "$@" -r "$runs" "$model" times >said 2>&1 </dev/null
    code=$?
    [ $code = 0 ] || ended "failed $index $code"
    [ -s times ] || ended "wordless $index"
}
# The median of `times` in microseconds, at least 1.
typical() {
    middle=$((($(wc -l < times) + 1) / 2))
    seconds=$(cut -d , -f 2 times | sort -g | sed -n "${middle}p")
    us=$(printf %.6f "$seconds" | sed 's/[.]//; s/^0*//')
    echo "${us:-1}"
}

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
