// Judges calls of AWS by policies, as IAM would. Reads {policies: {principal: [document]}, calls: [call]} from standard
// input, and prints the calls that are not allowed, each with the reason.
import { runSimulation } from '@cloud-copilot/iam-simulate'
import { readFileSync } from 'node:fs'

const ACCOUNT = '123456789012'
// The policy of a key as KMS makes it: IAM policies of the account decide. Without it no IAM policy gives access to a key.
const KEY_POLICY = {
  Version: '2012-10-17',
  Statement: [
    { Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` }, Action: 'kms:*', Resource: '*' },
  ],
}
const { policies, calls } = JSON.parse(readFileSync(0, 'utf8'))
const refused = []
for (const call of calls) {
  const { result, errors, analysis, overallResult } = await runSimulation(
    {
      identityPolicies: policies[call.principal].map((policy, number) => ({ name: `policy-${number}`, policy })),
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      ...(call.action.startsWith('kms:') ? { resourcePolicy: KEY_POLICY } : {}),
      request: {
        action: call.action,
        principal: `arn:aws:iam::${ACCOUNT}:role/${call.principal}`,
        resource: { resource: call.resource, accountId: ACCOUNT },
        contextVariables: call.context,
      },
    },
    {},
  )
  const outcome = overallResult ?? analysis?.result ?? result
  if (outcome !== 'Allowed') refused.push({ ...call, reason: errors ? JSON.stringify(errors) : String(outcome) })
}
console.log(JSON.stringify(refused))
