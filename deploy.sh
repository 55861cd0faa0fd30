#!/usr/bin/env bash
# Deploys Chiplake to AWS, first and after every change of images, infrastructure, DAGs or the dbt project.
set -euo pipefail
readonly CALLED_IN=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly CDK_VERSION=2.1148.1 # of the cdk command; requirements.lock pins the library
readonly ASSEMBLY=.chiplake/cdk.out
readonly OUTPUTS=.chiplake/deployed.json
readonly PYTHON=.venv/bin/python
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=1 JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION=1

usage() {
    cat <<'END'
Usage: ./deploy.sh [--plan] [--file FILE] [--allow-removal] [--checkpoint FILE]

All choices of a deployment are in infrastructure/deployment.yaml.

  --plan             print what would change, and change nothing; needs no Docker, and works without credentials
  --file FILE        the choices of another deployment, in place of infrastructure/deployment.yaml
  --allow-removal    remove resources that the choices no longer ask for; without it, the deployment is refused
  --checkpoint FILE  upload this Clay checkpoint for the model; later deployments keep it

The first deployment writes the digests of the base images into the file of the choices: commit it.

A Clay checkpoint that was copied to models/clay/v1.0/model.pth of the bucket since the last deployment becomes the
model without an option.

A second run without a change changes nothing.
END
}

fail() {
    echo "deploy.sh: $*" >&2
    exit 1
}

step() { printf '\n%s\n' "== $*"; }

# Print a command, and run it unless only the plan is wanted.
run() {
    printf '   '
    printf ' %q' "$@"
    printf '\n'
    if [[ -z $plan ]]; then "$@"; fi
}

# Run a module of infrastructure/cdk/stack in the project's environment.
stack_module() { PYTHONPATH="infrastructure/cdk:.:dags" "$PYTHON" -m "stack.$1" "${@:2}"; }

# Make a path absolute that is relative to the folder in which deploy.sh was called.
absolute() { if [[ $1 == /* ]]; then echo "$1"; else echo "$CALLED_IN/$1"; fi; }

plan='' file=infrastructure/deployment.yaml allow_removal='' checkpoint='' command=./deploy.sh
while (($#)); do
    case $1 in
        --plan) plan=yes ;;
        --allow-removal) allow_removal=yes ;;
        --file | --checkpoint)
            if (($# < 2)); then fail "$1 needs a value; see ./deploy.sh --help"; fi
            path=$(absolute "$2")
            if [[ ! -f $path ]]; then fail "$1 $2: there is no such file"; fi
            if [[ $1 == --file ]]; then file=$path command="./deploy.sh --file $path"; else checkpoint=$path; fi
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
if command -v cdk >/dev/null; then
    cdk=(cdk)
else
    cdk=(npx --yes "aws-cdk@$CDK_VERSION")
fi
if [[ -z $plan ]]; then
    [[ ${cdk[0]} == cdk ]] || command -v npx >/dev/null || fail "the cdk command is missing; run: npm install --global aws-cdk"
    command -v docker >/dev/null || fail "Docker is missing, which builds the images; install it"
    docker info >/dev/null 2>&1 || fail "Docker does not answer; start it and check that you may use it (docker info)"
fi
caller=$(stack_module caller "$file" ${plan:+--if-known}) || exit 1
read -r account region bootstrapped <<<"$caller" || true
if [[ -n $account ]]; then
    export AWS_REGION=$region AWS_DEFAULT_REGION=$region
    echo "    account $account, region $region"
fi

if [[ -n $account ]]; then
    step "Look at encryption and Lake Formation in the account"
    stack_module account "$file"
fi

step "Pin the base images of the images by their digests"
stack_module bases "$file" ${plan:+--plan}

step "Synthesise the stack, check it with cdk-nag, check the Airflow Variables"
mkdir -p .chiplake
stack_module synth "$ASSEMBLY" "$file" ${account:+"$account" "$region"}
stack=$(stack_module plan "$ASSEMBLY" --stack-name)
versions=$(stack_module plan "$ASSEMBLY" --airflow) # of managed Airflow: the one that is asked for, then the others
read -r airflow other_airflows <<<"${versions//$'\n'/ }"
if [[ -n $airflow ]]; then echo "    managed Airflow $airflow"; fi
[[ -z $plan ]] || stack_module plan "$ASSEMBLY"

if [[ -n $account ]]; then
    step "Compare the stack with what is deployed"
    stack_module changes "$ASSEMBLY" ${plan:+--plan} ${allow_removal:+--allow-removal}
else
    step "All resources, not compared with what is deployed, because AWS was not asked"
    stack_module plan "$ASSEMBLY" --resources
fi

if [[ $bootstrapped != yes ]]; then
    step "Prepare the account for CDK (once for each account and region)"
    run "${cdk[@]}" bootstrap "aws://${account:-ACCOUNT}/${region:-REGION}"
fi

# A bucket or database that a failed or deleted deployment left is taken over: it holds the data.
deploy=("${cdk[@]}" deploy --app "$ASSEMBLY" --require-approval never --import-existing-resources
    --outputs-file "$OUTPUTS" "$stack")
# Deploy the stack. AWS has no call that lists the versions of managed Airflow in a region: only a deployment shows them.
deploy_stack() {
    if run "${deploy[@]}" "$@"; then return; fi
    if [[ -n $airflow ]]; then
        fail "the deployment failed. If this region does not offer Airflow $airflow, set airflow_version in $file to" \
            "${other_airflows// / or }"
    fi
    fail "the deployment failed"
}

step "Build and push changed images, update the infrastructure, copy the DAGs and the dbt project"
deploy_stack

if [[ -n $checkpoint ]]; then
    step "Pack the checkpoint, upload it, give it to the model"
elif [[ -z $plan ]]; then
    step "Look for a new checkpoint in the bucket: pack it, give it to the model"
fi
pack=(env "PYTHONPATH=infrastructure/cdk:.:dags" "$PYTHON" -m stack.checkpoint "$OUTPUTS" ${checkpoint:+"$checkpoint"})
printed=''
if [[ -z $plan ]]; then
    printed=$("${pack[@]}") || exit 1
elif [[ -n $checkpoint ]]; then
    run "${pack[@]}"
    printed="ModelDataKey=models/DIGEST/model.tar.gz"$'\n'"CheckpointKey=checkpoints/DIGEST/$(basename "$checkpoint")"
fi
if [[ -n $printed ]]; then
    parameters=()
    while read -r parameter; do parameters+=(--parameters "$stack:$parameter"); done <<<"$printed"
    deploy_stack "${parameters[@]}"
fi

step "Next steps"
if [[ -n $plan ]]; then
    stack_module plan "$ASSEMBLY" --next
else
    stack_module plan "$ASSEMBLY" --next "$OUTPUTS"
fi
if [[ -z $printed ]]; then
    cat <<END
  - If no earlier deployment had a checkpoint: download a Clay checkpoint (v1.5: clay-v1.5.ckpt) and run
        $command --checkpoint clay-v1.5.ckpt
    or copy it to models/clay/v1.0/model.pth of the bucket and run $command
    Until then a small encoder with untrained weights makes the embeddings; their model_id says so.
END
fi
