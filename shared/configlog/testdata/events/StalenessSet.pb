
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
E
4type.googleapis.com/gatehouse.config.v1.StalenessSet
jira˜*
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden