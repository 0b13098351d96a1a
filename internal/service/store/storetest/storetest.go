// Package storetest is the conformance suite of service/store: what every
// engine must do, seen only through the interface.
//
// What enters is a function that makes empty databases, what leaves are test
// results. What an engine does beyond the interface (locks, files, limits) it
// tests itself.
package storetest

import (
	"testing"

	"signpath/internal/service/store"
)

// Opener opens one database. Called again after Close it finds what was stored.
type Opener func() (store.Store, error)

// Run runs the suite. create makes the opener of a new, empty database that
// vanishes with the test t.
func Run(t *testing.T, create func(t *testing.T) Opener) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, open Opener)
	}{
		{"Empty", testEmpty},
		{"RoundTrip", testRoundTrip},
		{"Replace", testReplace},
		{"Versions", testVersions},
		{"Duplicates", testDuplicates},
		{"OtherOrganization", testOtherOrganization},
		{"References", testReferences},
		{"BadText", testBadText},
		{"Rollback", testRollback},
		{"SealedKeys", testSealedKeys},
		{"UserGroups", testUserGroups},
		{"TokenUses", testTokenUses},
		{"Settings", testSettings},
		{"SigningRequests", testSigningRequests},
		{"SigningRequestPages", testSigningRequestPages},
		{"Jobs", testJobs},
		{"Webhooks", testWebhooks},
		{"Retention", testRetention},
		{"TrustedBuildSystems", testTrustedBuildSystems},
		{"CountAudit", testCountAudit},
		{"AuditAppend", testAuditAppend},
		{"AuditGaps", testAuditGaps},
		{"AuditPaging", testAuditPaging},
		{"AuditFilters", testAuditFilters},
		{"AuditSubjects", testAuditSubjects},
		{"OpenIntents", testOpenIntents},
		{"Together", testTogether},
		{"Concurrency", testConcurrency},
		{"Cancel", testCancel},
		{"Ended", testEnded},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, create(t)) })
	}
	t.Run("Dump", func(t *testing.T) { testDump(t, create) })
}
