package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// List is a setting with several values: a YAML list, or separated by commas on the command line.
type List []string

func (l *List) String() string { return strings.Join(*l, ",") }

// Set replaces the whole list; on the command line a flag that is given again adds to it.
func (l *List) Set(text string) error {
	*l = nil
	if text != "" {
		*l = strings.Split(text, ",")
	}
	return nil
}

// Type names the values in the help text.
func (l *List) Type() string { return "list" }

// repeatable is a list on the command line: the first flag replaces what the file says, each further one adds to it.
type repeatable struct {
	*List
	given bool
}

// Set is that of [List], and adds where the flag was given before.
func (r *repeatable) Set(text string) error {
	before := *r.List
	if err := r.List.Set(text); err != nil || !r.given {
		r.given = true
		return err
	}
	*r.List = append(slices.Clip(before), *r.List...)
	return nil
}

// Setting is one row of the table of settings, as users see it.
type Setting struct {
	Flag, Field, Default, Usage string
}

// Settings returns the table. The documentation is made from it.
func Settings() []Setting {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	config := Default()
	Bind(flags, &config)
	var settings []Setting
	for field := range fields() {
		flag := flags.Lookup(field.Tag.Get("flag"))
		settings = append(settings, Setting{Flag: flag.Name, Field: jsonName(field), Default: flag.DefValue, Usage: flag.Usage})
	}
	return settings
}

// Bind gives each setting its flag, with the value that config has now as the default.
func Bind(flags *pflag.FlagSet, config *Config) {
	value := reflect.ValueOf(config).Elem()
	for field := range fields() {
		name, usage := field.Tag.Get("flag"), field.Tag.Get("usage")
		switch target := value.FieldByIndex(field.Index).Addr().Interface().(type) {
		case *string:
			flags.StringVar(target, name, *target, usage)
		case *bool:
			flags.BoolVar(target, name, *target, usage)
		case *int32:
			flags.Int32Var(target, name, *target, usage)
		case *metav1.Duration:
			flags.DurationVar(&target.Duration, name, target.Duration, usage)
		case *List:
			flags.Var(&repeatable{List: target}, name, usage)
		default:
			panic(fmt.Sprintf("setting %s has no flag type", field.Name)) // a new kind of field needs a case above
		}
	}
}

// fields yields the fields of Config that are settings.
func fields() func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for _, field := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
			if field.Tag.Get("flag") != "" && !yield(field) {
				return
			}
		}
	}
}

func jsonName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}

// Fingerprint tells whether a person has changed one of the given settings since.
func Fingerprint(settings ...any) string {
	text, err := json.Marshal(settings)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
