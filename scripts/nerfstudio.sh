#!/usr/bin/env bash
# nerfstudio in an environment of its own: it pins viser 0.2.7 and gsplat 1.4.0, so ours cannot hold it.
#   nerfstudio.sh reader VENV                what reads datasets, for the tests; no GPU, about 1.5 GB
#   nerfstudio.sh train VENV DATASET OUT ..  everything, then splatfacto on a folder that
#                                            `worldgen export --format nerfstudio` wrote; needs a CUDA GPU.
#                                            Splats end as OUT/splat.ply, in the axes and units of the world;
#                                            what follows goes to ns-train.
# PYTHON names the Python that VENV is made with; nerfstudio 1.1.5 wants 3.8 to 3.12.
set -euo pipefail
version=1.1.5
usage="usage: nerfstudio.sh reader VENV | train VENV DATASET OUT [options of ns-train]"
work=${1:?$usage}
venv=${2:?$usage}
shift 2
pip() { "$venv/bin/python" -m pip --disable-pip-version-check install --quiet "$@"; }

make_venv() { [ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"; }

case $work in
reader)
    make_venv
    # Its list of requirements is of what trains and draws; to read a dataset it imports these.
    pip "torch==2.13.0"
    pip --no-deps "nerfstudio==$version"
    pip jaxtyping "opencv-python-headless==4.10.0.84" pillow rich tensorboard "viser==0.2.7"
    "$venv/bin/python" -c "import nerfstudio.data.dataparsers.nerfstudio_dataparser"
    ;;
train)
    dataset=${1:?$usage}
    out=${2:?$usage}
    shift 2
    if ! command -v nvidia-smi >/dev/null; then
        echo "splatfacto is trained on a CUDA GPU, and there is none" >&2
        exit 2
    fi
    if [ ! -f "$dataset/transforms.json" ]; then
        echo "$dataset has no transforms.json; write it with: worldgen export WORLD $dataset --format nerfstudio" >&2
        exit 2
    fi
    make_venv
    "$venv/bin/python" -c "import nerfstudio, gsplat, open3d" 2>/dev/null || pip "nerfstudio==$version"
    # Nothing turns, moves or scales the cameras: what is trained lies where the world lies.
    "$venv/bin/ns-train" splatfacto --data "$dataset" --output-dir "$out" --experiment-name world --timestamp run \
        --vis tensorboard "$@" nerfstudio-data --orientation-method none --center-method none --auto-scale-poses False
    "$venv/bin/ns-export" gaussian-splat --load-config "$out/world/splatfacto/run/config.yml" --output-dir "$out"
    ;;
*)
    echo "$usage" >&2
    exit 2
    ;;
esac
