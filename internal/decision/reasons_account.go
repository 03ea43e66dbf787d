package decision

// Reasons of the gate account.
var (
	TenantSuspended = &Reason{
		Code: "account.tenant_suspended", Gate: "account", Status: 403, Public: ToProven,
		Title:  "Tenant suspended",
		Detail: "{tenant|The tenant of this application|The tenant '%'} is suspended.",
		Means:  "All applications of the tenant are refused until it is resumed.",
		Advice: []Advice{
			{ByCaller, "Ask the administrator of your tenant."},
			{ByOwner, "Ask the operator of the platform why the tenant is suspended."},
			{ByOperator, "Resume {tenant|the tenant|tenant '%'} when the cause is settled."},
		},
	}
	ApplicationSuspended = &Reason{
		Code: "account.application_suspended", Gate: "account", Status: 403, Public: ToProven,
		Title:  "Application suspended",
		Detail: "{application|The calling application|The application '%'} is suspended.",
		Means:  "The application keeps its keys and subscriptions but may not call until it is resumed.",
		Advice: []Advice{
			{ByCaller, "Ask the owner of the application."},
			{ByOwner, "Ask an administrator of {tenant|your tenant|tenant '%'} to resume the application."},
			{ByOperator, "Resume {application|the application|application '%'}."},
		},
	}
	AccountUnavailable = &Reason{
		Code: "account.unavailable", Gate: "account", Status: 503, Public: ToAnyone,
		Title:  "Account cannot be checked now",
		Detail: "The directory did not answer.",
		Means:  "The standing of tenant and application could not be read. That is no denial; the gateway fails closed.",
		Advice: []Advice{
			{ByCaller, "Try again in a few seconds."},
			{ByOperator, "Restore {dependency|the directory}{dependency.got||: %}."},
		},
	}
)
