
K
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jira	a product
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden