package decision

// Reasons of the gate authz.
var (
	ScopeInsufficient = &Reason{
		Code: "authz.scope_insufficient", Gate: "authz", Status: 403, Public: ToProven,
		Title:  "Scope insufficient",
		Detail: "The credential lacks the scope {scope|this operation needs|'%'}; it has {scope.got|other scopes}.",
		Means:  "The operation asks for scopes that the credential was not issued with. The application may hold the permission all the same: scopes limit one credential.",
		Advice: []Advice{
			{ByCaller, "Use a credential with {scope|that scope|the scope '%'}."},
			{ByOwner, "Create a key with {scope|that scope|the scope '%'} in the portal."},
			{ByOperator, "Add {scope|the scope|'%'} to {key|the key|key %}."},
		},
	}
	PermissionMissing = &Reason{
		Code: "authz.permission_missing", Gate: "authz", Status: 403, Public: ToProven,
		Title:  "Permission missing",
		Detail: "{application|The application|Application '%'} may not {action|do this}: none of its roles grants {permission|the permission it takes|'%'}.",
		Means:  "The operation asks for a permission, and no role of the application grants it.",
		Advice: []Advice{
			{ByOwner, "Ask an administrator of {tenant|your tenant|tenant '%'} to grant {application|your application|'%'} a role with {permission|the permission|'%'}{holders|}."},
			{ByOperator, "Grant {application|the application|application '%'} a role with {permission|the permission|'%'}{holders|}."},
		},
	}
	NotOwner = &Reason{
		Code: "authz.not_owner", Gate: "authz", Status: 403, Public: ToProven,
		Title:  "Not the owner",
		Detail: "Only the owner of this resource may do this.",
		Means:  "An ownership rule compares the caller with the owner of the resource, and they differ.",
		Advice: []Advice{
			{ByCaller, "Act on resources of your own, or ask their owner."},
			{ByOperator, "Grant a role that is exempt from the ownership rule."},
		},
	}
	Forbidden = &Reason{
		Code: "authz.forbidden", Gate: "authz", Status: 403, Public: ToProven,
		Title:  "Forbidden by a rule",
		Detail: "An explicit rule forbids this request.",
		Means:  "A forbid rule matched. Forbids win over every grant.",
		Advice: []Advice{
			{ByOwner, "Ask an administrator of {tenant|your tenant|tenant '%'}; the trace id leads to the rule."},
			{ByOperator, "Narrow the forbid rule{rule|| %} if it catches too much."},
		},
	}
	AuthzUnavailable = &Reason{
		Code: "authz.unavailable", Gate: "authz", Status: 503, Public: ToAnyone,
		Title:  "Authorization cannot be decided now",
		Detail: "What is needed to decide is not available.",
		Means:  "A decision point or attribute source did not answer. That is no denial; the gateway fails closed.",
		Advice: []Advice{
			{ByCaller, "Try again in a few seconds."},
			{ByOperator, "Restore {dependency|the dependency named in the trace}{dependency.got||: %}."},
		},
	}
)
