package lab

import (
	"fmt"
	"slices"
	"strings"
)

// clause is one condition of a JQL or CQL query.
type clause struct {
	field, op string
	values    []string
}

// query is the part of JQL and CQL the lab speaks: conditions joined by AND with
// =, !=, ~, !~, in and not in, and ORDER BY over one field.
type query struct {
	clauses   []clause
	orderBy   string
	ascending bool
}

// parseQuery reads a query; fields lists the names it may hold.
func parseQuery(text string, fields ...string) (query, error) {
	p := &queryParser{tokens: queryTokens(text)}
	q := query{}
	for !p.done() && !p.word("order") {
		if len(q.clauses) > 0 && !p.take("and") {
			return q, fmt.Errorf("expecting 'AND' but got '%s'", p.peek())
		}
		c, err := p.clause()
		if err != nil {
			return q, err
		}
		if !slices.Contains(fields, c.field) {
			return q, fmt.Errorf("field '%s' does not exist or you do not have permission to view it", c.field)
		}
		q.clauses = append(q.clauses, c)
	}
	if p.take("order") {
		if !p.take("by") || p.done() {
			return q, fmt.Errorf("expecting 'BY' and a field but got '%s'", p.peek())
		}
		q.orderBy = strings.ToLower(p.next())
		q.ascending = !p.take("desc")
		p.take("asc")
	}
	if !p.done() {
		return q, fmt.Errorf("the character '%s' is not expected here", p.peek())
	}
	return q, nil
}

type queryParser struct{ tokens []string }

func (p *queryParser) done() bool { return len(p.tokens) == 0 }

func (p *queryParser) peek() string {
	if p.done() {
		return "the end"
	}
	return strings.TrimPrefix(p.tokens[0], "\x00")
}

func (p *queryParser) next() string {
	if p.done() {
		return ""
	}
	token := p.peek()
	p.tokens = p.tokens[1:]
	return token
}

func (p *queryParser) word(keyword string) bool {
	return !p.done() && strings.EqualFold(p.tokens[0], keyword)
}

func (p *queryParser) take(keyword string) bool {
	if p.word(keyword) {
		p.next()
		return true
	}
	return false
}

func (p *queryParser) clause() (clause, error) {
	c := clause{field: strings.ToLower(p.next())}
	if p.take("not") {
		c.op = "not "
	}
	switch op := strings.ToLower(p.next()); op {
	case "=", "!=", "~", "!~":
		c.op += op
		if p.done() {
			return c, fmt.Errorf("expecting a value after '%s'", op)
		}
		c.values = []string{p.value()}
	case "in":
		c.op += op
		if !p.take("(") {
			return c, fmt.Errorf("expecting '(' but got '%s'", p.peek())
		}
		for !p.take(")") {
			if p.done() {
				return c, fmt.Errorf("expecting ')' before the end")
			}
			c.values = append(c.values, p.value())
			p.take(",")
		}
	default:
		return c, fmt.Errorf("expecting an operator after '%s' but got '%s'", c.field, op)
	}
	return c, nil
}

// value is a word, or the name of a function without its parentheses.
func (p *queryParser) value() string {
	v := p.next()
	if p.word("(") && len(p.tokens) > 1 && p.tokens[1] == ")" {
		p.next()
		p.next()
		v += "()"
	}
	return v
}

// queryTokens cuts a query into words, operators and strings; a string is marked
// by a leading NUL, so that none of its words is taken for a keyword.
func queryTokens(text string) []string {
	var tokens []string
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == '"' || c == '\'':
			var b strings.Builder
			for i++; i < len(text) && text[i] != c; i++ {
				if text[i] == '\\' && i+1 < len(text) {
					i++
				}
				b.WriteByte(text[i])
			}
			i++
			tokens = append(tokens, "\x00"+b.String())
		case strings.IndexByte("(),=~", c) >= 0:
			tokens = append(tokens, string(c))
			i++
		case c == '!':
			end := min(i+2, len(text))
			tokens = append(tokens, text[i:end])
			i = end
		default:
			end := i
			for end < len(text) && strings.IndexByte(" \t\r\n\"'(),=~!", text[end]) < 0 {
				end++
			}
			tokens = append(tokens, text[i:end])
			i = end
		}
	}
	return tokens
}

// holds judges one clause over the values a thing has in its field.
func (c clause) holds(has ...string) bool {
	found := slices.ContainsFunc(has, func(h string) bool {
		return slices.ContainsFunc(c.values, func(v string) bool {
			if strings.HasSuffix(c.op, "~") {
				return strings.Contains(strings.ToLower(h), strings.ToLower(strings.Trim(v, "*")))
			}
			return strings.EqualFold(h, v)
		})
	})
	if c.op == "!=" || c.op == "!~" || c.op == "not in" {
		return !found
	}
	return found
}
