"""The script's own part for `benchmark_model`, which is started for every sample.

The program prints a mean of its inferences and keeps none of them, so a sample is one start of it:
the mean of a batch.
"""

from __future__ import annotations

# Told besides: flags; model_N, and of outputs own_N, offset_N, bytes_N and row_N, of every model;
# count, most_seconds.
BODY = """
# Arguments: model, runs, then further flags. Leaves what it says in `said`.
start() {
    index=$1 runs=$2
    shift 2
    eval "set -- \\"\\$@\\" $flags"
    eval "model=\\$model_$index"
    kept "$tool" --graph="$model/model.tflite" --num_runs="$runs" --min_secs=0 --max_secs=3600 \\
        --warmup_min_secs=0 "$@" >said 2>&1 </dev/null
    code=$?
    [ $code = 0 ] || ended "failed $index $code"
    # It goes on without what it does not know.
    if grep -q 'Unconsumed cmdline flags' said; then
        echo "@ failed $index 0"; grep 'Unconsumed cmdline flags' said; exit 1
    fi
    grep -q 'Inference (avg): ' said || ended "wordless $index"
}
# The mean of the last start in microseconds, at least 1.
typical() {
    us=$(printf %.0f "$(sed -n 's/.*Inference (avg): \\([0-9.e+]*\\).*/\\1/p' said | tail -n 1)")
    [ "$us" -ge 1 ] && echo "$us" || echo 1
}
# What the model computes of each sample, as one array in NumPy's format.
computed() {
    number=$1 done=0 until=$(($(date +%s) + most_seconds))
    eval "own=\\$own_$number offset=\\$offset_$number bytes=\\$bytes_$number row=\\$row_$number"
    tail -c +$((offset + 1)) inputs.npy > samples
    : > rows
    while [ "$done" -lt "$count" ]; do
        dd if=samples of=sample bs="$bytes" skip="$done" count=1 2>/dev/null
        rm -f row
        start "$number" 1 --warmup_runs=0 $own --output_filepath=row
        [ -s row ] || ended "wordless $number"
        cat row >> rows
        done=$((done + 1))
        [ "$(date +%s)" -le "$until" ] || break
    done
    {
        printf '\\223NUMPY\\001\\000v\\000'
        printf '%-117s\\n' "{'descr': '<f4', 'fortran_order': False, 'shape': ($done, $row), }"
        cat rows
    } > "outputs-$number.npy"
    echo "@ computed $number $done"
}

echo "@ facts"; facts
echo "@ before"; state
for number in $models; do
    rm -f operators
    start "$number" 1 --warmup_runs=1 --enable_op_profiling=true \\
        --profiling_output_csv_file=operators
    echo "@ placed $number"; cat said
    echo "@ operators $number"; cat operators
    echo
    if [ "$mode" = outputs ]; then computed "$number"; continue; fi
    start "$number" 10 --warmup_runs=1
    us=$(typical)
    warming=$(filling "$warmup_us" 10 10000)
    start "$number" "$warming" --warmup_runs=1
    us=$(typical)
    eval "batch_$number=$(filling $((round_us / least)) 1 "$most")"
    echo "@ warm $number $((warming + 12))"
done
[ "$mode" = outputs ] || echo "$rounds" | while read -r order; do
    for number in $order; do
        eval "batch=\\$batch_$number"
        echo "@ round $number"
        taken=0
        while [ "$taken" -lt "$least" ]; do
            start "$number" "$batch" --warmup_runs="$settling"
            echo "@ sample $number $batch"; cat said
            taken=$((taken + 1))
        done
    done
done || exit 1
echo "@ after"; state
echo "@ end"
"""
