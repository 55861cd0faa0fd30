#!/usr/bin/env bash
# Deploys Chiplake to AWS: the first time and after every change, of images, infrastructure, DAGs or the dbt project.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly CDK_VERSION=2.1148.1 # of the command line; the library's version is pinned in requirements.lock
readonly ASSEMBLY=.chiplake/cdk.out
readonly OUTPUTS=.chiplake/deployed.json
readonly PYTHON=.venv/bin/python
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=1 JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION=1

usage() {
    cat <<'END'
Usage: ./deploy.sh [--dry-run] [--region REGION] [--account ID] [--checkpoint FILE] [--context NAME=VALUE]...

  --dry-run             print the whole plan and do nothing; needs neither credentials nor Docker
  --region REGION       AWS region; default AWS_REGION, or that of your AWS configuration
  --account ID          AWS account; refuse to deploy with credentials of another one
  --checkpoint FILE     also upload this Clay checkpoint and have the model use it; later runs keep it
  --context NAME=VALUE  a choice of the deployment, such as managed_airflow=true; see infrastructure/cdk/README.md

A second run without a change changes nothing.
END
}

fail() {
    echo "deploy.sh: $*" >&2
    exit 1
}

step() { printf '\n%s\n' "== $*"; }

# Prints a command, and runs it unless this is a dry run.
run() {
    printf '   '
    printf ' %q' "$@"
    printf '\n'
    if [[ -z $dry_run ]]; then "$@"; fi
}

# Runs a module of the infrastructure by the project's interpreter.
stack_module() { PYTHONPATH="infrastructure/cdk:.:dags" "$PYTHON" -m "stack.$1" "${@:2}"; }

dry_run='' account='' region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}} checkpoint=''
context=()
while (($#)); do
    case $1 in
        --dry-run) dry_run=yes ;;
        --account | --region | --checkpoint | --context)
            if (($# < 2)); then fail "$1 needs a value; see ./deploy.sh --help"; fi
            case $1 in
                --account) account=$2 ;;
                --region) region=$2 ;;
                --checkpoint) checkpoint=$2 ;;
                --context)
                    if [[ $2 != ?*=* ]]; then fail "--context $2: it is NAME=VALUE"; fi
                    context+=("$2")
                    ;;
            esac
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            echo "deploy.sh: unknown option $1" >&2
            exit 2
            ;;
    esac
    shift
done

step "Check what is needed"
[[ -x $PYTHON ]] || fail "there is no $PYTHON; run: make setup"
"$PYTHON" -c 'import sys; from importlib.util import find_spec as found; sys.exit(not (found("aws_cdk") and found("boto3")))' || fail "aws-cdk-lib or boto3 is missing in .venv; run: make setup"
command -v node >/dev/null || fail "Node.js is needed (CDK runs on it); install version 22 or later"
if [[ -n $checkpoint && ! -f $checkpoint ]]; then fail "$checkpoint: there is no such checkpoint"; fi
if command -v cdk >/dev/null; then
    cdk=(cdk)
else
    cdk=(npx --yes "aws-cdk@$CDK_VERSION")
fi
bootstrapped=''
if [[ -n $dry_run ]]; then
    echo "    dry run: nothing is asked of AWS, Docker is not started"
else
    [[ ${cdk[0]} == cdk ]] || command -v npx >/dev/null || fail "the cdk command is needed; run: npm install --global aws-cdk"
    command -v docker >/dev/null || fail "Docker is needed to build the images; install it"
    docker info >/dev/null 2>&1 || fail "Docker does not answer; start it, and see that you may use it (docker info)"
    caller=$(AWS_REGION=$region stack_module caller) || exit 1
    read -r found_account region bootstrapped <<<"$caller"
    if [[ -n $account && $account != "$found_account" ]]; then
        fail "the credentials are of account $found_account, not $account; use others (AWS_PROFILE), or leave --account out"
    fi
    account=$found_account
    export AWS_REGION=$region
    echo "    account $account, region $region"
fi

step "Work out what there is to be (cdk-nag and the list of Airflow Variables are checked here)"
if [[ -n $account ]]; then context+=("account=$account"); fi
if [[ -n $region ]]; then context+=("region=$region"); fi
mkdir -p .chiplake
stack_module synth "$ASSEMBLY" ${context[@]+"${context[@]}"}
stack=$(stack_module plan "$ASSEMBLY" --stack-name)
[[ -z $dry_run ]] || stack_module plan "$ASSEMBLY"

if [[ $bootstrapped != yes ]]; then
    step "Prepare the account for CDK (once for an account and region)"
    run "${cdk[@]}" bootstrap "aws://${account:-ACCOUNT}/${region:-REGION}"
fi

deploy=("${cdk[@]}" deploy --app "$ASSEMBLY" --require-approval never --outputs-file "$OUTPUTS" "$stack")
step "Build and push images that changed, update the infrastructure, copy DAGs and the dbt project"
run "${deploy[@]}"

if [[ -n $checkpoint ]]; then
    step "Pack the checkpoint, upload it, have the model use it"
    upload=(env "PYTHONPATH=infrastructure/cdk:.:dags" "$PYTHON" -m stack.checkpoint "$checkpoint" "$OUTPUTS")
    if [[ -n $dry_run ]]; then
        run "${upload[@]}"
        keys=("ModelDataKey=models/DIGEST/model.tar.gz" "CheckpointKey=checkpoints/DIGEST/$(basename "$checkpoint")")
    else
        printed=$("${upload[@]}") || exit 1
        mapfile -t keys <<<"$printed"
    fi
    run "${deploy[@]}" --parameters "$stack:${keys[0]}" --parameters "$stack:${keys[1]}"
fi

step "Next"
if [[ -n $dry_run ]]; then
    stack_module plan "$ASSEMBLY" --next
else
    stack_module plan "$ASSEMBLY" --next "$OUTPUTS"
fi
if [[ -z $checkpoint ]]; then
    cat <<'END'
  - Unless it was done before: download a Clay checkpoint (v1.5: clay-v1.5.ckpt) and run
        ./deploy.sh --checkpoint clay-v1.5.ckpt
    Until then embeddings come from a stand-in with untrained weights, and say so.
END
fi
