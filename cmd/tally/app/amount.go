package app

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// An amount is the value of a flag that takes money, in minor units.
type amount int64

// amountFlag adds a flag of money.
func amountFlag(f *pflag.FlagSet, to *int64, name, usage string) {
	f.Var((*amount)(to), name, usage)
}

// Set reads an amount. What has a point is meant in another unit.
func (a *amount) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		if strings.ContainsAny(text, ".,") {
			return &pointError{text}
		}
		return err //nolint:wrapcheck // who asked names the flag and what it was given
	}
	*a = amount(n)
	return nil
}

// String writes an amount as Set reads it.
func (a *amount) String() string { return strconv.FormatInt(int64(*a), 10) }

// Type is shown in the help.
func (a *amount) Type() string { return "int" }

// A pointError says that an amount was not given in minor units.
type pointError struct{ text string }

func (e *pointError) Error() string { return "amounts are whole numbers of minor units" }

// hint says what to give instead, in that currency, or if it is empty in most.
func (e *pointError) hint(currency string) string {
	digits := minorDigits(currency)
	whole, fraction, _ := strings.Cut(strings.ReplaceAll(e.text, ",", "."), ".")
	minor, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", max(0, digits-len(fraction))),
		10, 64)
	switch {
	case err != nil || len(fraction) == 0 || len(fraction) > max(digits, 2):
		return "for example 4500 for EUR 45.00"
	case len(fraction) > digits:
		return fmt.Sprintf("%s has %d digits behind the point", currency, digits)
	case currency == "":
		return fmt.Sprintf("%d if the currency has two digits behind the point, as EUR has", minor)
	}
	return fmt.Sprintf("%d for %s %s", minor, currency, e.text)
}

// minorDigits is how many digits behind the point a currency has by ISO 4217. Of what
// is none it is two, as most have.
func minorDigits(currency string) int {
	switch currency {
	case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
		"VUV", "XAF", "XOF", "XPF":
		return 0
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		return 3
	case "CLF", "UYW":
		return 4
	}
	return 2
}
