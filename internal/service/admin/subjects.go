package admin

import (
	"slices"
	"strings"

	"signpath/internal/service/model"
)

// Subject is a user or group where either may stand.
type Subject struct {
	ID   string `json:"id"`
	Type string `json:"type"` // CiUser, InteractiveUser, UserGroup
	Name string `json:"name"`
}

// groupType is the Type of a group.
const groupType = "UserGroup"

// Prefixes that tell users and groups of the same name apart.
const (
	groupPrefix = "group:"
	userPrefix  = "user:"
)

// Reference is what a person types to mean the subject.
func (s Subject) Reference() string {
	if s.Type == groupType {
		return groupPrefix + s.Name
	}
	return s.Name
}

// showSubjects gives users and groups by their identifiers; one that is gone
// shows as its identifier.
func (v *view) showSubjects(ids []string) []Subject {
	out := []Subject{}
	for _, id := range ids {
		s := Subject{ID: id, Name: id}
		if u := v.userByID(id); u != nil {
			s.Type, s.Name = string(u.Kind), u.Name
		} else if g := v.groupByID(id); g != nil {
			s.Type, s.Name = groupType, g.Name
		}
		out = append(out, s)
	}
	return out
}

func references(subjects []Subject) []string {
	out := []string{}
	for _, s := range subjects {
		out = append(out, s.Reference())
	}
	return out
}

// subject finds a user or group by identifier or name; "group:" or "user:"
// before a name says which is meant.
func (v *view) subject(in *input, field string, org *model.Organization, ref string) (id string) {
	ref = strings.TrimSpace(ref)
	if org == nil {
		return ""
	}
	if name, ok := cutPrefixFold(ref, groupPrefix); ok {
		if g := v.group(in, field, org, name); g != nil {
			return g.ID
		}
		return ""
	}
	if name, ok := cutPrefixFold(ref, userPrefix); ok {
		return v.activeUser(in, field, org, name)
	}
	g := v.findGroup(org.ID, ref)
	if g == nil {
		return v.activeUser(in, field, org, ref)
	}
	if u := v.userByName(org.ID, ref); u != nil && !strings.EqualFold(g.ID, ref) {
		in.fail(field, "Organization %q has a user %q and a group of the same name; write user:%[2]s or group:%[2]s.", org.Name, clip(ref))
		return ""
	}
	return g.ID
}

// activeUser finds a user who may be given rights.
func (v *view) activeUser(in *input, field string, org *model.Organization, ref string) string {
	known := len(in.errs[field])
	u := v.user(in, field, org, ref)
	switch {
	case u == nil && len(in.errs[field]) > known && strings.TrimSpace(ref) != "":
		in.errs[field][known] = strings.Replace(in.errs[field][known], "has no user ", "has no user or group ", 1)
		return ""
	case u == nil:
		return ""
	case !u.Active:
		in.fail(field, "User %q is deactivated.", u.Name)
	}
	return u.ID
}

// addSubjects appends users and groups without doubling any; ids is not written to.
func (v *view) addSubjects(in *input, field string, org *model.Organization, ids, refs []string) []string {
	ids = slices.Clip(ids)
	for _, ref := range refs {
		if id := v.subject(in, field, org, ref); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// removeSubjects takes users and groups away; ids is not written to. role says
// in a sentence what they were, e.g. "submitter of this policy".
func (v *view) removeSubjects(in *input, field, role string, org *model.Organization, ids, refs []string) []string {
	ids = slices.Clone(ids)
	for _, ref := range refs {
		id := v.subjectID(in, field, org, ref)
		if id == "" {
			continue
		}
		i := slices.Index(ids, id)
		if i < 0 {
			in.fail(field, "%q is no %s.", clip(ref), role)
			continue
		}
		ids = slices.Delete(ids, i, i+1)
	}
	return ids
}

// subjectID is subject for whoever shall lose something: deactivated users count too.
func (v *view) subjectID(in *input, field string, org *model.Organization, ref string) string {
	probe := newInput()
	if id := v.subject(probe, field, org, ref); id != "" {
		return id
	}
	for _, sentence := range probe.errs[field] {
		in.fail(field, "%s", sentence)
	}
	return ""
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return strings.TrimSpace(s[len(prefix):]), true
}

// subjectEdit changes a list of users and groups: all of it, or some more and some fewer.
type subjectEdit struct {
	field  string // of the whole list, e.g. "submitters"
	role   string // e.g. "submitter of this policy"
	set    *[]string
	add    []string
	remove []string
}

// apply gives the new list. It never writes into ids, which belong to the
// immutable configuration.
func (e subjectEdit) apply(v *view, in *input, org *model.Organization, ids []string) []string {
	upper := strings.ToUpper(e.field[:1]) + e.field[1:]
	if e.set != nil {
		if len(e.add)+len(e.remove) > 0 {
			in.fail(e.field, "Give all of them, or those to add and to remove.")
		}
		ids = v.addSubjects(in, e.field, org, []string{}, *e.set)
	}
	ids = v.addSubjects(in, "add"+upper, org, ids, e.add)
	if len(e.remove) > 0 {
		ids = v.removeSubjects(in, "remove"+upper, e.role, org, ids, e.remove)
	}
	return ids
}
