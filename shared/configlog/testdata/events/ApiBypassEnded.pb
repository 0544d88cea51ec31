
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
H
3type.googleapis.com/gatehouse.config.v1.ApiBypassed
jira	a pattern
A
3type.googleapis.com/gatehouse.config.v1.ApiBypassed

jira/b
K
6type.googleapis.com/gatehouse.config.v1.ApiBypassEnded
jira	a pattern
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden