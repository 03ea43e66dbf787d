package decision

// Reasons of the gate limit.
var (
	LimitRate = &Reason{
		Code: "limit.rate", Gate: "limit", Status: 429, Public: ToAnyone,
		Title:  "Rate limit reached",
		Detail: "More than {limit|the allowed number of} requests{per|}: the next is allowed in {retry|a moment}.",
		Means:  "The rate limit (GCRA with a burst) has no room for this request. Nothing was taken from any other limit.",
		Advice: []Advice{
			{ByCaller, "Wait {retry|the seconds in Retry-After} and spread requests evenly."},
			{ByOwner, "Ask for a plan with a higher rate."},
			{ByOperator, "Raise the rate or burst of {name|the limit|limit '%'}."},
		},
	}
	LimitConcurrency = &Reason{
		Code: "limit.concurrency", Gate: "limit", Status: 429, Public: ToAnyone,
		Title:  "Too many requests at once",
		Detail: "{limit|The allowed number of} requests are already in progress.",
		Means:  "The limit counts requests that have not finished yet.",
		Advice: []Advice{
			{ByCaller, "Wait for a request to finish before sending the next."},
			{ByOperator, "Raise the concurrency limit{name|| '%'}."},
		},
	}
	LimitQuota = &Reason{
		Code: "limit.quota", Gate: "limit", Status: 429, Public: ToAnyone,
		Title:  "Quota used up",
		Detail: "The quota of {limit|requests}{period|| per %} is used up; it starts anew {resets|at the end of its period|at %}.",
		Means:  "The calendar quota has no units left until its period ends.",
		Advice: []Advice{
			{ByCaller, "Wait until {resets|the quota starts anew|%}."},
			{ByOwner, "Ask for a plan with a larger quota."},
			{ByOperator, "Raise the quota of {name|the limit|limit '%'}."},
		},
	}
	LimitBudget = &Reason{
		Code: "limit.budget", Gate: "limit", Status: 402, Public: ToProven,
		Title:  "Budget used up",
		Detail: "The budget{limit|| of %} is spent; it starts anew {resets|at the end of its period|at %}.",
		Means:  "The money or tokens reserved for the period are spent, or the call could cost more than what is left.",
		Advice: []Advice{
			{ByOwner, "Ask for a larger budget."},
			{ByOperator, "Raise the budget{name|| '%'}."},
		},
	}
	LimitUnavailable = &Reason{
		Code: "limit.unavailable", Gate: "limit", Status: 503, Public: ToAnyone,
		Title:  "Limits cannot be counted now",
		Detail: "The counters did not answer.",
		Means:  "The counter store is out of reach, and the operator chose that uncounted requests are refused.",
		Advice: []Advice{
			{ByCaller, "Try again in a few seconds."},
			{ByOperator, "Restore {dependency|the counter store}{dependency.got|| (%)}, or choose `on_unavailable: pass` for {name|the limit|limit '%'}."},
		},
	}
)
