package admin

// permission is something a role allows.
type permission uint16

const (
	readConfig permission = 1 << iota
	writeConfig
	readDirectory  // tenants, applications, keys and subscriptions
	writeDirectory // create and change them
	revokeKeys     // stop a credential that leaked
	readUsers
	writeUsers // users and the tokens of others
	readAudit
	readRecords
	simulate
	readStatus

	nothing    permission = 0
	everything            = readConfig | writeConfig | readDirectory | writeDirectory | revokeKeys | readUsers | writeUsers |
		readAudit | readRecords | simulate | readStatus
)

// roles is what each management role allows. A user with several roles may do what any of them allows.
var roles = map[string]permission{
	"admin":    everything,
	"operator": readConfig | writeConfig | readDirectory | writeDirectory | revokeKeys | readAudit | readRecords | simulate | readStatus,
	"security": readConfig | readDirectory | revokeKeys | readUsers | readAudit | readRecords | simulate | readStatus,
	"viewer":   readConfig | readDirectory | readRecords | readStatus,
}

// reach is how far a route looks.
type reach uint8

const (
	platform reach = iota // the whole gateway: users of one tenant are refused
	tenant                // confined: a user of one tenant meets only that tenant's rows
	anyone                // answered without signing in
)

// access is what a route asks of its caller. A route that needs nothing and is not for anyone asks for a sign-in only.
type access struct {
	need  permission
	reach reach
}

// table is every route of the API by its operation id. The zero access would ask a platform user for a sign-in only, so
// that every line names what it needs.
var table = map[string]access{
	"create-session": {nothing, anyone}, // it is the sign-in
	"delete-session": {nothing, tenant},
	"get-me":         {nothing, tenant},

	// One document configures every tenant, so only users of the platform may read or change it.
	"get-config":       {readConfig, platform},
	"put-config":       {writeConfig, platform},
	"validate-config":  {readConfig, platform},
	"diff-config":      {readConfig, platform},
	"get-schema":       {nothing, anyone}, // the same for every installation; editors fetch it
	"list-generations": {readConfig, platform},
	"get-generation":   {readConfig, platform},

	"list-tenants":  {readDirectory, tenant},
	"create-tenant": {writeDirectory, platform},
	"get-tenant":    {readDirectory, tenant},
	"update-tenant": {writeDirectory, platform}, // a tenant must not lift its own suspension
	"delete-tenant": {writeDirectory, platform},

	"list-applications":  {readDirectory, tenant},
	"create-application": {writeDirectory, tenant},
	"get-application":    {readDirectory, tenant},
	"update-application": {writeDirectory, tenant},
	"delete-application": {writeDirectory, tenant},

	"list-application-keys": {readDirectory, tenant},
	"create-key":            {writeDirectory, tenant},
	"list-keys":             {readDirectory, tenant},
	"get-key":               {readDirectory, tenant},
	"update-key":            {writeDirectory, tenant},
	"revoke-key":            {revokeKeys, tenant},
	"rotate-key":            {writeDirectory, tenant},

	"list-application-credentials": {readDirectory, tenant},
	"create-credential":            {writeDirectory, tenant},
	"get-credential":               {readDirectory, tenant},
	"revoke-credential":            {revokeKeys, tenant},

	"list-subscriptions":   {readDirectory, tenant},
	"create-subscription":  {writeDirectory, tenant},
	"get-subscription":     {readDirectory, tenant},
	"update-subscription":  {writeDirectory, tenant},
	"delete-subscription":  {writeDirectory, tenant},
	"approve-subscription": {writeDirectory, tenant},
	"reject-subscription":  {writeDirectory, tenant},
	"suspend-subscription": {writeDirectory, tenant},
	"resume-subscription":  {writeDirectory, tenant},
	"revoke-subscription":  {writeDirectory, tenant},

	"list-users":   {readUsers, tenant},
	"create-user":  {writeUsers, tenant},
	"get-user":     {nothing, tenant}, // oneself; others with readUsers
	"update-user":  {writeUsers, tenant},
	"delete-user":  {writeUsers, tenant},
	"put-password": {nothing, tenant}, // one's own with the old one; others' with writeUsers
	"list-tokens":  {nothing, tenant}, // one's own; others' with readUsers
	"create-token": {nothing, tenant}, // for oneself; for others with writeUsers
	"revoke-token": {nothing, tenant}, // one's own; others' with writeUsers

	"list-audit":      {readAudit, tenant},
	"list-records":    {readRecords, tenant},
	"get-record":      {readRecords, tenant},
	"explain-record":  {readRecords, tenant},
	"simulate-matrix": {simulate, platform},
	"simulate":        {simulate, platform}, // it shows the rules of every tenant

	"list-reasons":    {nothing, anyone}, // the catalogue is published
	"get-reason":      {nothing, anyone},
	"get-status":      {readStatus, platform},
	"list-operations": {readDirectory, tenant},
}

// allowed is the union of what roles allow. Unknown roles allow nothing.
func allowed(names []string) permission {
	var p permission
	for _, n := range names {
		p |= roles[n]
	}
	return p
}

// covers reports whether a user with these roles may do all that the role allows. A token of an administrator can so be one
// of a viewer, though nobody gave the administrator that role.
func covers(names []string, role string) bool {
	p, known := roles[role]
	return known && allowed(names)&p == p
}

// missing names the smallest roles that allow p, for remedies.
func missing(p permission) []string {
	var out []string
	for _, n := range []string{"viewer", "security", "operator", "admin"} {
		if roles[n]&p == p {
			out = append(out, n)
		}
	}
	return out
}
