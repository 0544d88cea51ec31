
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
E
7type.googleapis.com/gatehouse.config.v1.SessionRulesSet

jira
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden