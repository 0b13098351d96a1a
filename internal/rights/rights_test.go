package rights

import (
	"reflect"
	"testing"
)

func TestJudge(t *testing.T) {
	const self, eve, users, system, admins = "S-1-5-21-1-2-3-1000", "S-1-5-21-1-2-3-1001", "S-1-5-32-545", "S-1-5-18", "S-1-5-32-544"
	for _, tt := range []struct {
		name    string
		entries []entry
		noList  bool
		owner   string
		want    Others
	}{
		{"the user's own", []entry{{sid: self, allow: true, mask: 0x1f01ff}, {sid: system, allow: true, mask: 0x1f01ff}, {sid: admins, allow: true, mask: allAccess}}, false, self, Others{}},
		{"of the administrators", nil, false, admins, Others{}},
		{"no access list at all", nil, true, self, Others{Read: []string{"name of S-1-1-0"}, Write: []string{"name of S-1-1-0"}}},
		{"users may read", []entry{{sid: users, allow: true, mask: 0x1200a9}}, false, self, Others{Read: []string{"name of " + users}}},
		{"users may add files", []entry{{sid: users, allow: true, mask: appendData}}, false, self, Others{Write: []string{"name of " + users}}},
		{"by generic rights", []entry{{sid: users, allow: true, mask: anyRead}, {sid: eve, allow: true, mask: anyWrite}}, false, self, Others{Read: []string{"name of " + users}, Write: []string{"name of " + eve}}},
		{"who may change the list may do all", []entry{{sid: eve, allow: true, mask: writeDAC}}, false, self, Others{Write: []string{"name of " + eve}}},
		{"attributes are no content", []entry{{sid: users, allow: true, mask: 0x120080}}, false, self, Others{}},
		{"for what lies inside", []entry{{sid: users, allow: true, mask: allAccess, inheritOnly: true}}, false, self, Others{}},
		{"a denial gives nothing", []entry{{sid: users, mask: allAccess}}, false, self, Others{}},
		{"named twice", []entry{{sid: users, allow: true, mask: readData}, {sid: users, allow: true, mask: readData}}, false, self, Others{Read: []string{"name of " + users}}},
		{"a stranger's file", nil, false, eve, Others{Owner: "name of " + eve}},
	} {
		got := judge(tt.entries, tt.noList, tt.owner, self, func(sid string) string { return "name of " + sid })
		if len(got.Read) == 0 {
			got.Read = nil
		}
		if len(got.Write) == 0 {
			got.Write = nil
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
