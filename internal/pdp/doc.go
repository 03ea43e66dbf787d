// Package pdp is the policy decision point: sets of policies in the Cedar language, parsed, checked against a schema, indexed,
// and decided with an explanation.
//
// Cedar itself is github.com/cedar-policy/cedar-go. This package alone knows its experimental parts (validator, partial
// evaluation, syntax tree), so that a change of theirs is met in one place; go.mod pins the version.
//
// What an evaluation costs follows the policies that could apply, not all there are: Set.For leaves out at compile time what
// the action or the resource rules out, and a Selection finds the rest by the principal and what it belongs to.
//
// Nothing here knows what a request is. gate/authz says which principal, action and resource a request has.
package pdp
