package integration_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestJaffleShop runs the orders and payments of a real data set, the jaffle
// shop of dbt Labs, from its files to the audit. TALLY_JAFFLE names its folder.
func TestJaffleShop(t *testing.T) {
	folder := os.Getenv("TALLY_JAFFLE")
	if folder == "" {
		t.Skip("TALLY_JAFFLE names no folder with raw_orders.csv and raw_payments.csv")
	}
	each(t, func(t *testing.T, s *stage) {
		var loaded struct{ Records, Orders, Payments int }
		s.tally("load", filepath.Join(folder, "raw_orders.csv"),
			filepath.Join(folder, "raw_payments.csv"), "-o", "json",
			"--mapping", filepath.Join("..", "..", "docs", "jaffle_shop.json")).json(t, &loaded)
		if loaded.Orders != 99 || loaded.Payments != 113 || loaded.Records != 212 {
			t.Errorf("loaded %+v, want 99 orders and 113 payments", loaded)
		}
		s.tally("run", "--until-idle=500ms", "--instance", "worker", "--state-dir", t.TempDir()).ok(t)

		result := s.check()
		if result.Confirmed != 99 || result.Received["USD"] != 167_200 {
			t.Errorf("the checker counts %d confirmations and %d cents, want 99 and 167200",
				result.Confirmed, result.Received["USD"])
		}
		audit := s.audit(result)
		money := audit.Money["USD"]
		if audit.Orders != 99 || audit.Payments != 113 || audit.Confirmed != 99 ||
			audit.Pending != 0 || audit.Invalid != 0 || len(audit.Money) != 1 ||
			money.Received != 167_200 || money.Confirmed+money.Excess != 167_200 {
			t.Errorf("audit: %+v", audit)
		}
	})
}
