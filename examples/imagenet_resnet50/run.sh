#!/bin/sh
# ResNet-50 to half of its latency at its own accuracy.
#   IMAGENET=FOLDER sh run.sh GPUS TARGET [any option of edgespiral compress]
set -eu
here=$(dirname "$0")
gpus=${1:?how many GPUs, 1 or 8}
target=${2:?a target, such as host-cpu or a profile of yours}
shift 2
weights=$here/resnet50.pth
if [ ! -f "$weights" ]; then
    python - "$weights" <<'PYTHON'
import sys

import torch
from torchvision.models import ResNet50_Weights, resnet50

torch.save(resnet50(weights=ResNet50_Weights.IMAGENET1K_V1).state_dict(), sys.argv[1])
PYTHON
fi
# The batch is of all GPUs together, so one and eight of them compute the same.
exec edgespiral compress resnet50 --weights "$weights" --data "$here/imagenet.py:load" \
    --augment --target "$target" --speedup 2 --max-drop 0.1 --epochs 45 --batch-size 1024 \
    --devices "$gpus" --out "runs/resnet50-$target" --resume "$@"
