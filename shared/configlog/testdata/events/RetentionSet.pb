
E
4type.googleapis.com/gatehouse.config.v1.RetentionSet€Œî‰˜*
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden