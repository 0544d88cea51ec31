
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
H
2type.googleapis.com/gatehouse.config.v1.MethodsSet
jira (08
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden