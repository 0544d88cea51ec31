
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
G
6type.googleapis.com/gatehouse.config.v1.TokenLimitsSet
jira˜*
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden