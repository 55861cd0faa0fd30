#!/usr/bin/env bash
# Deploys Chiplake to AWS, first and after every change of images, infrastructure, DAGs or the dbt project.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly CDK_VERSION=2.1148.1 # of the cdk command; requirements.lock pins the library
readonly ASSEMBLY=.chiplake/cdk.out
readonly OUTPUTS=.chiplake/deployed.json
readonly PYTHON=.venv/bin/python
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=1 JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION=1

usage() {
    cat <<'END'
Usage: ./deploy.sh [--dry-run] [--region REGION] [--account ID] [--checkpoint FILE] [--context NAME=VALUE]...

  --dry-run             print the plan and change nothing; needs neither credentials nor Docker
  --region REGION       AWS region; default AWS_REGION or the region of your AWS configuration
  --account ID          AWS account; deployment stops if the credentials are of another one
  --checkpoint FILE     upload this Clay checkpoint for the model; later deployments keep it
  --context NAME=VALUE  a choice such as managed_airflow=true; see infrastructure/cdk/README.md

A second run without a change changes nothing.
END
}

fail() {
    echo "deploy.sh: $*" >&2
    exit 1
}

step() { printf '\n%s\n' "== $*"; }

# Print a command, and run it unless this is a dry run.
run() {
    printf '   '
    printf ' %q' "$@"
    printf '\n'
    if [[ -z $dry_run ]]; then "$@"; fi
}

# Run a module of infrastructure/cdk/stack in the project's environment.
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
                    if [[ $2 != ?*=* ]]; then fail "--context $2: expected NAME=VALUE"; fi
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

step "Check the requirements"
[[ -x $PYTHON ]] || fail "$PYTHON is missing; run: make setup"
"$PYTHON" -c 'import sys; from importlib.util import find_spec as found; sys.exit(not (found("aws_cdk") and found("boto3")))' || fail "aws-cdk-lib or boto3 is missing in .venv; run: make setup"
command -v node >/dev/null || fail "Node.js is missing, which CDK runs on; install version 22 or later"
if [[ -n $checkpoint && ! -f $checkpoint ]]; then fail "checkpoint $checkpoint does not exist"; fi
if command -v cdk >/dev/null; then
    cdk=(cdk)
else
    cdk=(npx --yes "aws-cdk@$CDK_VERSION")
fi
bootstrapped=''
if [[ -n $dry_run ]]; then
    echo "    dry run: AWS is not called, Docker is not started"
else
    [[ ${cdk[0]} == cdk ]] || command -v npx >/dev/null || fail "the cdk command is missing; run: npm install --global aws-cdk"
    command -v docker >/dev/null || fail "Docker is missing, which builds the images; install it"
    docker info >/dev/null 2>&1 || fail "Docker does not answer; start it and check that you may use it (docker info)"
    caller=$(AWS_REGION=$region stack_module caller) || exit 1
    read -r found_account region bootstrapped <<<"$caller"
    if [[ -n $account && $account != "$found_account" ]]; then
        fail "the credentials are of account $found_account, not $account; choose others (AWS_PROFILE) or omit --account"
    fi
    account=$found_account
    export AWS_REGION=$region
    echo "    account $account, region $region"
fi

step "Synthesise the stack, check it with cdk-nag, check the Airflow Variables"
if [[ -n $account ]]; then context+=("account=$account"); fi
if [[ -n $region ]]; then context+=("region=$region"); fi
mkdir -p .chiplake
stack_module synth "$ASSEMBLY" ${context[@]+"${context[@]}"}
stack=$(stack_module plan "$ASSEMBLY" --stack-name)
versions=$(stack_module plan "$ASSEMBLY" --airflow) # of managed Airflow: the one that is asked for, then the others
read -r airflow other_airflows <<<"${versions//$'\n'/ }"
if [[ -n $airflow ]]; then echo "    managed Airflow $airflow"; fi
[[ -z $dry_run ]] || stack_module plan "$ASSEMBLY"

if [[ $bootstrapped != yes ]]; then
    step "Prepare the account for CDK (once for each account and region)"
    run "${cdk[@]}" bootstrap "aws://${account:-ACCOUNT}/${region:-REGION}"
fi

deploy=("${cdk[@]}" deploy --app "$ASSEMBLY" --require-approval never --outputs-file "$OUTPUTS" "$stack")
# Deploy the stack. AWS has no call that lists the versions of managed Airflow in a region: only a deployment shows them.
deploy_stack() {
    if run "${deploy[@]}" "$@"; then return; fi
    if [[ -n $airflow ]]; then
        fail "the deployment failed. If this region does not offer Airflow $airflow, deploy with" \
            "--context airflow_version=VERSION, VERSION being ${other_airflows// / or }"
    fi
    fail "the deployment failed"
}

step "Build and push changed images, update the infrastructure, copy the DAGs and the dbt project"
deploy_stack

if [[ -n $checkpoint ]]; then
    step "Pack the checkpoint, upload it, give it to the model"
    upload=(env "PYTHONPATH=infrastructure/cdk:.:dags" "$PYTHON" -m stack.checkpoint "$checkpoint" "$OUTPUTS")
    if [[ -n $dry_run ]]; then
        run "${upload[@]}"
        keys=("ModelDataKey=models/DIGEST/model.tar.gz" "CheckpointKey=checkpoints/DIGEST/$(basename "$checkpoint")")
    else
        printed=$("${upload[@]}") || exit 1
        mapfile -t keys <<<"$printed"
    fi
    deploy_stack --parameters "$stack:${keys[0]}" --parameters "$stack:${keys[1]}"
fi

step "Next steps"
if [[ -n $dry_run ]]; then
    stack_module plan "$ASSEMBLY" --next
else
    stack_module plan "$ASSEMBLY" --next "$OUTPUTS"
fi
if [[ -z $checkpoint ]]; then
    cat <<'END'
  - If no earlier deployment had a checkpoint: download a Clay checkpoint (v1.5: clay-v1.5.ckpt) and run
        ./deploy.sh --checkpoint clay-v1.5.ckpt
    Until then a small encoder with untrained weights makes the embeddings; their model_id says so.
END
fi
